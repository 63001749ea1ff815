"""Capture inside vLLM's worker processes: hidden states are summed where they are.

``register`` is the entry point of the group ``vllm.general_plugins``, which vLLM calls in each of its processes. It
gives its worker class methods that ``LLM.collective_rpc`` can call, and changes nothing else. Between ``begin`` and
``end`` two methods of one model runner are listened to: ``execute_model``, which is told what is scheduled, and
``sample_tokens``, which finds the step's hidden states in ``execute_model_state``. Both model runners of vLLM 0.32
have them (``v1/worker/gpu_model_runner.py`` and ``v1/worker/gpu/model_runner.py``).
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from lm_eval_dispersion._errors import one_line
from lm_eval_dispersion.capture._identity import fingerprint
from lm_eval_dispersion.capture._reduce import Reductions
from lm_eval_dispersion.capture._spans import Awaited, Progress, Span
from lm_eval_dispersion.capture._sums import Owner, Sums
from lm_eval_dispersion.geometry import Vectors

Arrays = dict[str, np.ndarray[Any, Any]]
# By the prompt's name: of each span its number, its positions (start, stop), and its owners: (place of sums, document).
Told = dict[bytes, list[tuple[int, int, int, list[tuple[int, int]]]]]
# Bytes of results handed over at a time: below what a message between vLLM's processes may hold.
_PIECE = 16 * 2**20
# Bytes of the sums of spans that are reduced at once; a step may have hundreds.
_AT_ONCE = 128 * 2**20


def register() -> None:
    """Lets ``LLM.collective_rpc`` begin and end a recording; see the module's docstring."""
    from vllm.v1.worker.worker_base import WorkerBase

    methods = (dispersion_await, dispersion_problem, dispersion_take, dispersion_take_sums)
    others = (dispersion_take_vectors, dispersion_end, dispersion_listens, dispersion_fingerprint)
    for method in (dispersion_begin, *methods, *others):
        setattr(WorkerBase, method.__name__, method)


def dispersion_begin(worker: Any, places: list[int], of_signals: list[int], totals: bool) -> dict[str, Any]:
    """Begins a recording; says what this worker can see.

    Args:
        worker: vLLM's.
        places: which of the hidden states that it shows are reduced; empty for all.
        of_signals: of which there are signals of a Gram matrix.
        totals: whether all vectors of a span are summed.
    """
    dispersion_end(worker)
    runner = worker.model_runner
    missing = [name for name in ("execute_model", "sample_tokens", "execute_model_state") if not hasattr(runner, name)]
    if missing:
        return {"missing": missing}
    reductions = Reductions(totals, places, of_signals)
    worker.dispersion_recorder = _Recorder(runner, reductions) if _first_of_its_tensor_group() else None
    return {
        "missing": [],
        "layers": runner.model_config.get_total_num_hidden_layers(),
        "all_layers": bool(getattr(runner, "dispersion_all_layers", False)),
        "refused": getattr(runner, "dispersion_refused", None),
    }


def dispersion_await(worker: Any, told: Told) -> None:
    """Names prompts that are to be reduced, the first time that each comes by."""
    if (recorder := _recorder(worker)) is not None:
        recorder.expect(told)


def dispersion_problem(worker: Any) -> str | None:
    """Why the recording has ended before its time, where it has."""
    return None if (recorder := _recorder(worker)) is None else recorder.problem


def dispersion_fingerprint(worker: Any) -> str | None:
    """Of the weights that this worker holds."""
    return fingerprint(worker.model_runner.get_model())


def dispersion_take(worker: Any) -> bytes:
    """The next results, as the bytes of an ``.npz``; empty where there is none left."""
    return b"" if (recorder := _recorder(worker)) is None else recorder.take()


def dispersion_take_sums(worker: Any) -> bytes:
    """Likewise, of all that the recording has summed, by jackknife group of documents."""
    return b"" if (recorder := _recorder(worker)) is None else recorder.take_sums()


def dispersion_take_vectors(worker: Any) -> bytes:
    """Likewise, of the last vector of each document by itself; none where all vectors of a span are summed."""
    return b"" if (recorder := _recorder(worker)) is None else recorder.take_vectors()


def dispersion_end(worker: Any) -> None:
    """Forgets the recording and leaves the model runner as it was."""
    if (recorder := _recorder(worker)) is not None:
        recorder.detach()
    worker.dispersion_recorder = None


def dispersion_listens(worker: Any) -> list[str]:
    """The methods of this worker's model runner that are listened to; none outside a recording."""
    return [name for name in ("execute_model", "sample_tokens") if name in vars(worker.model_runner)]


def _recorder(worker: Any) -> _Recorder | None:
    return getattr(worker, "dispersion_recorder", None)


def _first_of_its_tensor_group() -> bool:
    """Every process of a tensor-parallel group holds the same hidden states; one of them sums."""
    from vllm.distributed import get_tensor_model_parallel_rank

    return bool(get_tensor_model_parallel_rank() == 0)


@dataclass
class _Recorder:
    """Listens to one model runner."""

    runner: Any
    reductions: Reductions
    awaited: Awaited = field(default_factory=Awaited)
    """A prompt that comes twice is reduced once."""
    underway: dict[str, list[Progress]] = field(default_factory=dict)
    """By request."""
    steps: dict[str, int] = field(default_factory=dict)
    """Of the step under way: the first position of each request."""
    problem: str | None = None
    """What ended the recording: an engine would not outlive an error of ours."""

    def __post_init__(self) -> None:
        # By place; each document's last vector by itself where nothing else of a span is summed.
        self.sums: defaultdict[int, Sums] = defaultdict(
            lambda: Sums(vectors=None if self.reductions.totals else Vectors())
        )
        self._results: list[Arrays] = []
        self._groups: Iterator[Arrays] | None = None
        self._singles: Iterator[Arrays] | None = None
        self._inner = {name: getattr(self.runner, name) for name in ("execute_model", "sample_tokens")}
        self.runner.execute_model = self._execute_model
        self.runner.sample_tokens = self._sample_tokens

    def detach(self) -> None:
        for name in self._inner:
            delattr(self.runner, name)

    def expect(self, told: Told) -> None:
        for name, spans in told.items():
            for number, start, stop, owners in spans:
                mine = tuple(Owner(self.sums[place], document) for place, document in owners)
                span = Span(-1, start, stop, owners=mine, requests=(number,))
                self.awaited.spans.setdefault(name, []).append(span)

    def _execute_model(self, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        with self._kept_from_the_engine():
            self._hear(scheduler_output)
        return self._inner["execute_model"](scheduler_output, *args, **kwargs)

    @contextmanager
    def _kept_from_the_engine(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.problem = one_line(error)
            self.underway.clear()

    def _hear(self, scheduler_output: Any) -> None:
        if self.problem is not None:
            return
        for new in scheduler_output.scheduled_new_reqs:
            if spans := self.awaited.pop(new.prompt_token_ids or []):
                self.underway[new.req_id] = [Progress(span, span.start) for span in spans]
        self.steps = {new.req_id: new.num_computed_tokens for new in scheduler_output.scheduled_new_reqs}
        cached = scheduler_output.scheduled_cached_reqs
        self.steps |= dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        self._scheduled = scheduler_output.num_scheduled_tokens
        for request in scheduler_output.finished_req_ids:
            self.underway.pop(request, None)

    def _sample_tokens(self, *args: Any, **kwargs: Any) -> Any:
        with self._kept_from_the_engine():
            self._see(self.runner.execute_model_state)
        return self._inner["sample_tokens"](*args, **kwargs)

    def _see(self, state: Any) -> None:
        if state is None or not self.underway:
            return
        if parts := self._parts(self._offsets(state)):
            # Auxiliary ones that nobody asked for here are a speculative draft's (EAGLE-3), of layers of its choice.
            asked = getattr(self.runner, "dispersion_all_layers", False)
            states = [*((state.aux_hidden_states if asked else None) or ()), state.hidden_states]
            self._reduce(parts, states)

    def _offsets(self, state: Any) -> dict[str, int]:
        """The row of the hidden states at which each request's begin."""
        batch = getattr(state, "input_batch", None)
        if batch is not None:  # v1/worker/gpu/model_runner.py
            return dict(zip(batch.req_ids, batch.query_start_loc_np.tolist(), strict=False))
        starts = self.runner.query_start_loc.np
        return {request: int(starts[i]) for request, i in self.runner.input_batch.req_id_to_index.items()}

    def _parts(self, offsets: dict[str, int]) -> list[Span]:
        """What the step has of each span, at its places in the step's one row of tokens."""
        parts = []
        for request, spans in self.underway.items():
            if request not in self._scheduled:
                continue
            first = self.steps[request]
            last = first + self._scheduled[request]
            for progress in spans:
                # After preemption a prompt is run again: what was summed is not summed twice. A gap (a cached
                # prefix) leaves the span unfinished, which the caller finds.
                if first <= progress.done < min(last, progress.span.stop):
                    parts.append(progress.part(min(last, progress.span.stop), offsets[request] - first))
        return parts

    def _reduce(self, parts: list[Span], states: list[Tensor]) -> None:
        width = max(part.stop for part in parts)  # what follows is padding
        few = max(1, _AT_ONCE // sum(2 * 4 * state.shape[-1] for state in states))
        for begin in range(0, len(parts), few):
            with self.reductions.see(parts[begin : begin + few], 1, width) as show:
                for layer, state in enumerate(states):
                    show(layer, state[:width].unsqueeze(0))

    def take(self) -> bytes:
        for span, reduced in self.reductions.results():
            numbers = {"dispersion": reduced.dispersion, "zero": reduced.zero, "nonfinite": reduced.nonfinite}
            if reduced.signals is not None:
                numbers["signals"] = reduced.signals
            self._results += [{"span": np.array(number), **numbers} for number in span.requests]
        return _packed(self._results.pop() for _ in range(len(self._results)))

    def take_sums(self) -> bytes:
        if self._groups is None:
            self.reductions.settle()
            self._groups = self._each_group()
        return _packed(self._groups)

    def take_vectors(self) -> bytes:
        if self._singles is None:
            self.reductions.settle()
            self._singles = self._each_vector()
        return _packed(self._singles)

    def _each_group(self) -> Iterator[Arrays]:
        for place, sums in self.sums.items():
            for all_pairs, pairs in ((False, sums.across), (True, sums.all_pairs)):
                for group, total, count in pairs.groups():
                    key = {"place": place, "all_pairs": all_pairs, "group": group}
                    yield {**{name: np.array(value) for name, value in key.items()}, "total": total, "count": count}

    def _each_vector(self) -> Iterator[Arrays]:
        for place, sums in self.sums.items():
            if sums.vectors is not None:
                for document, total, count in sums.vectors.sums():
                    key = {"place": place, "document": document, "count": count}
                    yield {**{name: np.array(value) for name, value in key.items()}, "total": total}


def _packed(items: Iterator[Arrays]) -> bytes:
    """The next few, one at least where there is one, as the bytes of an ``.npz``."""
    size, some = 0, []
    for item in items:
        some.append(item)
        size += sum(array.nbytes for array in item.values())
        if size >= _PIECE:
            break
    if not some:
        return b""
    buffer = io.BytesIO()
    np.savez(buffer, **{key: np.stack([one[key] for one in some]) for key in some[0]})  # type: ignore[arg-type]
    return buffer.getvalue()
