"""``--use_cache`` for our request types.

lm_eval's ``CachingLM`` knows only its own three methods, so our requests keep their answers in the same
database under keys of their own: an answer of ours always carries D, and a stock run never reads one (its
``loglikelihood_rolling`` has other windows). A key holds all that an answer depends on: the request, the definition,
the layers that the engine shows, the model by its weights and settings. (lm_eval's own keys hold the request alone.)
Vectors never go into the database, only scalars by layer, so D across segments is not available when answers come from
the cache, and the record says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.harness._evaluation import Look
from lm_eval_dispersion.record import Segment
from lm_eval_dispersion.seams import response_cache

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

# Part of every key: raise it when what is measured or how it is stored changes.
_FORMAT = 3


class Answers:
    """The answers of one call, from the cache where it has them. Without ``--use_cache`` a plain list."""

    def __init__(self, look: Look, kind: str, definition: Definition, measuring: bool = True) -> None:
        self._lm, self._kind = look.lm, kind
        self._database = response_cache.database_of(look.lm)
        if self._database is not None:
            if look.identity is None:
                self._database = None
            else:
                capture = look.capture if measuring else None
                shown = capture and (capture.layers(definition), capture.signal_layers(definition))
                self._setting = {"model": look.identity, "shown": shown, "format": _FORMAT, **asdict(definition)}
        self._answers: dict[int, Any] = {}
        self._cached: dict[int, list[Segment]] = {}
        self._noted: dict[str, list[Segment]] = {}

    def missing(self, requests: Sequence[Instance], need_prompt: set[int] | None = None) -> list[int]:
        """Indices that have to be run; a cached answer without the measurement we need counts as missing."""
        todo = []
        for index, request in enumerate(requests):
            found = None if self._database is None or _samples(request) else self._database.get(self._key(request.args))
            if found is None or (need_prompt is not None and index in need_prompt and not found["measured"]):
                todo.append(index)
            else:
                self._answers[index] = found["answer"]
                self._cached[index] = [Segment(**fields) for fields in found["segments"]]
        return todo

    def note(self, request: Instance, segments: list[Segment]) -> None:
        """What was measured on a request whose answer is still to come (see ``without_stock_cache``)."""
        if self._database is not None:
            self._noted[self._key(request.args)] = segments

    def store(self, index: int, request: Instance, answer: Any, segments: list[Segment] | None) -> None:
        """Keeps an answer for this call and for later runs; ``segments`` is None where nobody asked for them."""
        self._answers[index] = answer
        if self._database is not None and not _samples(request):
            self._write(self._key(request.args), answer, segments)

    def measured(self, index: int) -> list[Segment]:
        """The segments that came from the cache with a request's answer."""
        return self._cached[index]

    def all(self) -> list[Any]:
        """In the order of the requests."""
        if self._database is not None:
            self._database.commit()
        return [self._answers[index] for index in sorted(self._answers)]

    @property
    def dbdict(self) -> Any:
        """As lm_eval's hook has it: where answers are kept; None where they are not."""
        return self._database

    def without_stock_cache(self) -> AbstractContextManager[None]:
        """Sends what lm_eval's method writes to the cache on the way to our keys, so Ctrl-C keeps it."""
        return response_cache.diverted(self._lm, self)

    def add_partial(self, kind: str, args: tuple[Any, ...], answer: Any) -> None:
        """Called by lm_eval's methods, once a request is done (``lm_eval.api.model.CacheHook``)."""
        # A rolling request's windows are known only to the caller, which stores it right afterwards.
        if self._database is not None and kind == self._kind and kind != "loglikelihood_rolling":
            key = self._key(args)
            self._write(key, answer, self._noted.pop(key, None))

    def _write(self, key: str, answer: Any, segments: list[Segment] | None) -> None:
        assert self._database is not None
        if segments is None and (old := self._database.get(key)) is not None and old["measured"]:
            return  # the same request once more, without its prompt
        self._database[key] = {
            "answer": answer,
            "segments": [asdict(segment) for segment in segments or ()],
            "measured": segments is not None,
        }

    def _key(self, args: Sequence[Any]) -> str:
        return response_cache.key(f"dispersion_{self._kind}", [*args, self._setting])


def _samples(request: Instance) -> bool:
    """Whether the answer is drawn at random, and so not cached (as in lm_eval's ``CachingLM``)."""
    return len(request.args) > 1 and isinstance(request.args[1], dict) and bool(request.args[1].get("do_sample"))
