"""A recording in the workers of vLLM's engine, from lm_eval's side: what they are told, and what they hand over."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from lm_eval_dispersion.capture._protocol import AttributionError, Reduced, Unsupported
from lm_eval_dispersion.capture._sums import Owner, Sums
from lm_eval_dispersion.geometry import closed_form

_OTHER_RUNNER = "if the run can be repeated, set VLLM_USE_V2_MODEL_RUNNER=0 to use vLLM's other model runner"


@dataclass(frozen=True)
class Waiting:
    """A request that waits for a prompt."""

    index: int
    start: int
    """The first position that counts."""
    stop: int
    """The position after the last one that counts."""
    truncated: bool
    owners: tuple[Owner, ...]


# By the prompt's name.
Awaited = dict[bytes, list[Waiting]]


class EngineRecording:
    """What is recorded during one call of lm_eval's method, which may call the engine many times."""

    def __init__(self, call: Callable[..., list[Any]]) -> None:
        self._call = call
        # The workers know sums by their place here.
        self._sums: list[Sums] = []
        self._places: dict[int, int] = {}

    @contextmanager
    def reducing(self, awaited: Awaited, on_reduced: Callable[[int, Reduced], None]) -> Iterator[None]:
        """Hands over what the engine's calls inside the block reduce; all of it, or it is an error."""
        if not awaited:
            yield
            return
        self._call("dispersion_await", {name: self._spans(waiting) for name, waiting in awaited.items()})
        yield
        left = {(name, one.start, one.stop) for name, waiting in awaited.items() for one in waiting}
        for found in self._taken("dispersion_take"):
            name, (start, stop) = found["name"].tobytes(), found["span"].tolist()
            left.remove((name, start, stop))
            for one in awaited[name]:
                if (one.start, one.stop) == (start, stop):
                    on_reduced(one.index, _reduced(one, found))
        if left:
            raise AttributionError(
                f"vLLM's worker did not show every position of {len(left)} prompts: nothing is recorded rather than "
                f"guessed; {_OTHER_RUNNER}"
            )

    def collect(self) -> None:
        """Adds what the workers have summed to where it belongs; once, at the end."""
        for found in self._taken("dispersion_take_sums"):
            sums = self._sums[int(found["place"])]
            pairs = sums.all_pairs if found["all_pairs"] else sums.across
            pairs.add(int(found["group"]), found["total"], found["count"])

    def _spans(self, waiting: list[Waiting]) -> list[tuple[int, int, list[tuple[int, int]]]]:
        spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for one in waiting:
            owners = spans.setdefault((one.start, one.stop), [])
            owners.extend((self._place(sums), document) for sums, document in one.owners)
        return [(start, stop, owners) for (start, stop), owners in spans.items()]

    def _place(self, sums: Sums) -> int:
        place = self._places.setdefault(id(sums), len(self._sums))
        if place == len(self._sums):
            self._sums.append(sums)
        return place

    def _taken(self, method: str) -> Iterator[dict[str, Any]]:
        while any(pieces := self._call(method)):
            for piece in filter(None, pieces):
                with np.load(io.BytesIO(piece), allow_pickle=False) as file:
                    arrays = {key: file[key] for key in file.files}
                for row in zip(*arrays.values(), strict=True):
                    yield dict(zip(arrays, row, strict=True))


class Engine:
    """The workers of one ``vllm.LLM``, which its ``collective_rpc`` reaches."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.layers: list[int] = []
        """The hidden states that it shows, as of the last recording."""
        self.refused: str | None = None
        """Why it does not show all of them, where that was asked for."""

    @contextmanager
    def recording(self, totals: bool = False) -> Iterator[EngineRecording]:
        """Records inside the block; ``totals`` is whether all vectors are summed, or the last of each prompt alone.

        Raises:
            Unsupported: where the workers cannot record.
        """
        recording, told = EngineRecording(self._call), self._begin(totals)
        try:
            self._hear(told)
            yield recording
            recording.collect()
        finally:
            self._call("dispersion_end")

    def _begin(self, totals: bool) -> list[dict[str, Any]]:
        try:
            return self._call("dispersion_begin", totals)
        except Exception as error:
            # What a worker raises comes back as another kind of exception in each of vLLM's executors.
            if "dispersion_begin" not in str(error) and not isinstance(error, NotImplementedError):
                raise
            raise Unsupported(
                "vLLM's workers did not load lm-eval-dispersion: it has to be installed in their environment, and "
                "VLLM_PLUGINS, where that is set, has to name lm_eval_dispersion"
            ) from None

    def _hear(self, told: list[dict[str, Any]]) -> None:
        for one in told:
            if one["missing"]:
                raise Unsupported(
                    f"vLLM {version('vllm')} has no {one['missing'][0]} in its model runner, which dispersion "
                    "listens to; version 0.32 is known to work"
                )
        depth = told[0]["layers"]
        self.layers = list(range(depth + 1)) if all(one["all_layers"] for one in told) else [depth]
        self.refused = next(filter(None, (one["refused"] for one in told)), None)

    def _call(self, method: str, *args: Any) -> list[Any]:
        return list(self._llm.collective_rpc(method, args=args))


def _reduced(one: Waiting, found: dict[str, Any]) -> Reduced:
    counts, must = found["counts"], one.stop - one.start
    if (counts.sum(-1) != must).any():
        raise AttributionError(f"a prompt of {must} vectors was reduced to {counts.sum(-1).tolist()}; {_OTHER_RUNNER}")
    d = closed_form(torch.from_numpy(found["square"]), torch.from_numpy(counts[:, 0])).numpy()
    return Reduced(d, must, counts[:, 1], counts[:, 2], one.truncated)
