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
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lm_eval_dispersion.capture._sums import Owner, Sums, add_segments, stacked
from lm_eval_dispersion.geometry import segment_sums

Arrays = dict[str, np.ndarray[Any, Any]]
# By the prompt's name: spans of its positions (start, stop), and to which sums (their place) and document each belongs.
Spans = dict[bytes, list[tuple[int, int, list[tuple[int, int]]]]]
# Bytes of results handed over at a time: below what a message between vLLM's processes may hold.
_PIECE = 64 * 2**20


def name_of(tokens: list[int]) -> bytes:
    """Names a prompt by its tokens."""
    return blake2b(np.asarray(tokens, dtype=np.int64).tobytes(), digest_size=16).digest()


def register() -> None:
    """Lets ``LLM.collective_rpc`` begin and end a recording; see the module's docstring."""
    from vllm.v1.worker.worker_base import WorkerBase

    methods = (dispersion_await, dispersion_take, dispersion_take_sums)
    for method in (dispersion_begin, *methods, dispersion_end, dispersion_listens):
        setattr(WorkerBase, method.__name__, method)


def dispersion_begin(worker: Any, totals: bool) -> dict[str, Any]:
    """Begins a recording; says what this worker can see. ``totals`` is whether all vectors of a span are summed."""
    dispersion_end(worker)
    runner = worker.model_runner
    missing = [name for name in ("execute_model", "sample_tokens", "execute_model_state") if not hasattr(runner, name)]
    if missing:
        return {"missing": missing}
    worker.dispersion_recorder = _Recorder(runner, totals) if _first_of_its_tensor_group() else None
    return {
        "missing": [],
        "layers": runner.model_config.get_total_num_hidden_layers(),
        "all_layers": bool(getattr(runner, "dispersion_all_layers", False)),
        "refused": getattr(runner, "dispersion_refused", None),
    }


def dispersion_await(worker: Any, spans: Spans) -> None:
    """Names prompts that are to be reduced, the first time that each comes by."""
    if (recorder := _recorder(worker)) is not None:
        recorder.spans.update(spans)


def dispersion_take(worker: Any) -> bytes:
    """The next finished reductions, as the bytes of an ``.npz``; empty where there is none left."""
    return b"" if (recorder := _recorder(worker)) is None else _packed(recorder.finished)


def dispersion_take_sums(worker: Any) -> bytes:
    """Likewise, of all that the recording has summed, by jackknife group of documents."""
    return b"" if (recorder := _recorder(worker)) is None else recorder.take_sums()


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


@dataclass(eq=False)
class _Slot:
    """A span of one prompt on its way."""

    name: bytes
    start: int
    stop: int
    owners: list[tuple[int, int]]
    done: int
    sums: Tensor | None = None
    """[layers, d], sum of unit vectors of the positions before ``done``."""
    counts: Tensor | None = None
    """[layers, 3]: vectors that count, of zero norm, not finite."""

    def add(self, sums: Tensor, counts: Tensor) -> None:
        self.sums = sums if self.sums is None else self.sums + sums
        self.counts = counts if self.counts is None else self.counts + counts


@dataclass
class _Piece:
    """Positions of a slot in one step: rows ``low`` to ``high`` of the step's hidden states."""

    slot: _Slot
    low: int
    high: int


@dataclass
class _Recorder:
    """Listens to one model runner."""

    runner: Any
    totals: bool
    spans: Spans = field(default_factory=dict)
    """Awaited. A prompt that comes twice is reduced once."""
    slots: dict[str, list[_Slot]] = field(default_factory=dict)
    """By request."""
    finished: list[Arrays] = field(default_factory=list)
    sums: defaultdict[int, Sums] = field(default_factory=lambda: defaultdict(Sums))
    """By place."""
    groups: list[Arrays] = field(default_factory=list)
    """Of the sums, on their way to lm_eval's process."""
    steps: dict[str, int] = field(default_factory=dict)
    """Of the step under way: the first position of each request."""

    def __post_init__(self) -> None:
        self._inner = {name: getattr(self.runner, name) for name in ("execute_model", "sample_tokens")}
        self.runner.execute_model = self._execute_model
        self.runner.sample_tokens = self._sample_tokens

    def detach(self) -> None:
        for name in self._inner:
            delattr(self.runner, name)

    def _execute_model(self, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        for new in scheduler_output.scheduled_new_reqs:
            name = name_of(new.prompt_token_ids or [])
            if new.req_id not in self.slots and name in self.spans:
                self.slots[new.req_id] = [
                    _Slot(name, start, stop, owners, done=start) for start, stop, owners in self.spans.pop(name)
                ]
        self.steps = {new.req_id: new.num_computed_tokens for new in scheduler_output.scheduled_new_reqs}
        cached = scheduler_output.scheduled_cached_reqs
        self.steps |= dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        self._scheduled = scheduler_output.num_scheduled_tokens
        for request in scheduler_output.finished_req_ids:
            self.slots.pop(request, None)
        return self._inner["execute_model"](scheduler_output, *args, **kwargs)

    def _sample_tokens(self, *args: Any, **kwargs: Any) -> Any:
        state = self.runner.execute_model_state
        if state is not None and self.slots:
            pieces = self._pieces(self._offsets(state))
            if pieces:
                # Those that nobody asked for here are a speculative draft's (EAGLE-3), of layers of its choice.
                asked = getattr(self.runner, "dispersion_all_layers", False)
                auxiliary = state.aux_hidden_states if asked else None
                self._reduce(pieces, [*(auxiliary or ()), state.hidden_states])
        return self._inner["sample_tokens"](*args, **kwargs)

    def _offsets(self, state: Any) -> dict[str, int]:
        """The row of the hidden states at which each request's begin."""
        batch = getattr(state, "input_batch", None)
        if batch is not None:  # v1/worker/gpu/model_runner.py
            return dict(zip(batch.req_ids, batch.query_start_loc_np.tolist(), strict=False))
        starts = self.runner.query_start_loc.np
        return {request: int(starts[i]) for request, i in self.runner.input_batch.req_id_to_index.items()}

    def _pieces(self, offsets: dict[str, int]) -> list[_Piece]:
        pieces = []
        for request, slots in self.slots.items():
            if request not in self._scheduled:
                continue
            first, offset = self.steps[request], offsets[request]
            last = first + self._scheduled[request]
            for slot in slots:
                # After preemption a prompt is run again: what was summed is not summed twice. A gap (a cached
                # prefix) leaves the slot unfinished, which the caller finds.
                if first <= slot.done < min(last, slot.stop):
                    stop = min(last, slot.stop)
                    pieces.append(_Piece(slot, offset + slot.done - first, offset + stop - first))
                    slot.done = stop
        return pieces

    def _reduce(self, pieces: list[_Piece], states: list[Tensor]) -> None:
        device = states[-1].device
        rows = torch.cat([torch.arange(p.low, p.high) for p in pieces]).to(device)
        lengths = torch.tensor([p.high - p.low for p in pieces])
        owner = torch.repeat_interleave(torch.arange(len(pieces)), lengths).to(device)
        ends = torch.tensor([p.high - 1 for p in pieces]).to(device)
        found = [segment_sums(x.index_select(0, rows), owner, len(pieces)) for x in states]
        sums = stacked([one.total for one in found])
        counts = torch.stack([torch.stack([one.count, one.zero, one.nonfinite], -1) for one in found], 1)
        for i, piece in enumerate(pieces):
            piece.slot.add(sums[i], counts[i])
        done = [i for i, piece in enumerate(pieces) if piece.slot.done == piece.slot.stop]
        if done:
            at = ends[torch.tensor(done, device=device)]
            self._finish([pieces[i].slot for i in done], stacked([x.index_select(0, at).float() for x in states]))

    def _finish(self, slots: list[_Slot], lasts: Tensor) -> None:
        sums = torch.stack([slot.sums for slot in slots if slot.sums is not None])
        counts = torch.stack([slot.counts for slot in slots if slot.counts is not None]).cpu()
        squares = sums.square().sum(-1).cpu()
        owners = [[Owner(self.sums[place], document) for place, document in slot.owners] for slot in slots]
        add_segments(owners, lasts.cpu(), sums.cpu() if self.totals else None, counts[..., 0])
        for slot, square, count in zip(slots, squares.numpy(), counts.numpy(), strict=True):
            slot.sums = slot.counts = None
            name, span = np.frombuffer(slot.name, np.uint8), np.array([slot.start, slot.stop])
            self.finished.append({"name": name, "span": span, "square": square, "counts": count})

    def take_sums(self) -> bytes:
        for place, sums in self.sums.items():
            for all_pairs, pairs in ((False, sums.across), (True, sums.all_pairs)):
                for group, total, count in pairs.groups():
                    key = {"place": place, "all_pairs": all_pairs, "group": group}
                    numbers = {name: np.array(value) for name, value in key.items()}
                    self.groups.append({**numbers, "total": total, "count": count})
        self.sums.clear()
        return _packed(self.groups)


def _packed(items: list[Arrays]) -> bytes:
    """Takes some from the list, one at least where there is one, as the bytes of an ``.npz``."""
    size, some = 0, []
    while items and size < _PIECE:
        some.append(items.pop())
        size += sum(array.nbytes for array in some[-1].values())
    if not some:
        return b""
    buffer = io.BytesIO()
    np.savez(buffer, **{key: np.stack([one[key] for one in some]) for key in some[0]})  # type: ignore[arg-type]
    return buffer.getvalue()
