"""Capture inside vLLM's worker processes: hidden states are summed where they are.

``register`` is the entry point of the group ``vllm.general_plugins``, which vLLM calls in each of its processes. It
gives its worker class methods that ``LLM.collective_rpc`` can call, and changes nothing else. Between ``begin`` and
``end`` two methods of one model runner are listened to: ``execute_model``, which is told what is scheduled, and
``sample_tokens``, which finds the step's hidden states in ``execute_model_state``. Both model runners of vLLM 0.32
have them (``v1/worker/gpu_model_runner.py`` and ``v1/worker/gpu/model_runner.py``).
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Spans of a prompt's positions, by the prompt's name.
Spans = dict[bytes, list[tuple[int, int]]]
# Bytes of results handed over at a time: below what a message between vLLM's processes may hold.
_PIECE = 64 * 2**20


def name_of(tokens: list[int]) -> bytes:
    """Names a prompt by its tokens."""
    return blake2b(np.asarray(tokens, dtype=np.int64).tobytes(), digest_size=16).digest()


def register() -> None:
    """Lets ``LLM.collective_rpc`` begin and end a recording; see the module's docstring."""
    from vllm.v1.worker.worker_base import WorkerBase

    for method in (dispersion_begin, dispersion_take, dispersion_end, dispersion_listens):
        setattr(WorkerBase, method.__name__, method)


def dispersion_begin(worker: Any, spans: Spans, totals: bool) -> dict[str, Any]:
    """Begins to reduce the prompts that ``spans`` names; says which worker this is and what it can see."""
    dispersion_end(worker)
    runner = worker.model_runner
    missing = [name for name in ("execute_model", "sample_tokens", "execute_model_state") if not hasattr(runner, name)]
    if missing:
        return {"missing": missing}
    recorder = _Recorder(runner, spans, totals) if _first_of_its_tensor_group() else None
    worker.dispersion_recorder = recorder
    layers = runner.model_config.get_total_num_hidden_layers()
    return {
        "missing": [],
        "runner": f"{type(runner).__module__}.{type(runner).__qualname__}",
        "layers": layers,
        "all_layers": bool(getattr(runner, "dispersion_all_layers", False)),
    }


def dispersion_take(worker: Any) -> bytes:
    """The next finished reductions, as the bytes of an ``.npz``; empty where there is none left."""
    recorder = getattr(worker, "dispersion_recorder", None)
    return b"" if recorder is None else recorder.take()


def dispersion_end(worker: Any) -> None:
    """Forgets the recording and leaves the model runner as it was."""
    recorder = getattr(worker, "dispersion_recorder", None)
    if recorder is not None:
        recorder.detach()
    worker.dispersion_recorder = None


def dispersion_listens(worker: Any) -> list[str]:
    """The methods of this worker's model runner that are listened to; none outside a recording."""
    return [name for name in ("execute_model", "sample_tokens") if name in vars(worker.model_runner)]


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
    done: int
    sums: Tensor | None = None
    """[layers, d], sum of unit vectors of the positions before ``done``."""
    counts: Tensor | None = None
    """[layers, 3]: vectors that count, of zero norm, not finite."""


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
    spans: Spans
    totals: bool
    slots: dict[str, list[_Slot]] = field(default_factory=dict)
    """By request."""
    finished: list[dict[str, np.ndarray[Any, Any]]] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    """Of the step under way: the first position of each request."""

    def __post_init__(self) -> None:
        # A prompt that comes twice is reduced once.
        self.spans = dict(self.spans)
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
                self.slots[new.req_id] = [_Slot(name, start, stop, done=start) for start, stop in self.spans.pop(name)]
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
                self._reduce(pieces, [*(state.aux_hidden_states or ()), state.hidden_states])
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
        sums, counts, lasts = zip(*(_unit_sums(x, rows, owner, ends, len(pieces)) for x in states), strict=True)
        width = max(x.shape[-1] for x in states)
        all_sums, all_lasts, all_counts = _stacked(sums, width), _stacked(lasts, width), torch.stack(counts, 1)
        done = []
        for i, piece in enumerate(pieces):
            slot = piece.slot
            slot.sums = all_sums[i] if slot.sums is None else slot.sums + all_sums[i]
            slot.counts = all_counts[i] if slot.counts is None else slot.counts + all_counts[i]
            if slot.done == slot.stop:
                done.append(i)
        if done:
            self._finish([pieces[i].slot for i in done], all_lasts[torch.tensor(done, device=device)])

    def _finish(self, slots: list[_Slot], lasts: Tensor) -> None:
        sums = torch.stack([slot.sums for slot in slots if slot.sums is not None])
        counts = torch.stack([slot.counts for slot in slots if slot.counts is not None]).cpu().numpy()
        squares = sums.square().sum(-1).cpu().numpy()
        totals = sums.cpu().numpy() if self.totals else None
        last = lasts.cpu().numpy()
        for i, slot in enumerate(slots):
            slot.sums = slot.counts = None
            found = {"square": squares[i], "counts": counts[i], "last": last[i]}
            found["name"] = np.frombuffer(slot.name, np.uint8)
            found["span"] = np.array([slot.start, slot.stop])
            if totals is not None:
                found["total"] = totals[i]
            self.finished.append(found)

    def take(self) -> bytes:
        size, some = 0, []
        while self.finished and size < _PIECE:
            some.append(self.finished.pop())
            size += sum(array.nbytes for array in some[-1].values())
        if not some:
            return b""
        buffer = io.BytesIO()
        np.savez(buffer, **{key: np.stack([one[key] for one in some]) for key in some[0]})  # type: ignore[arg-type]
        return buffer.getvalue()


def _unit_sums(x: Tensor, rows: Tensor, owner: Tensor, ends: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """By piece: the sum of unit vectors [n, d], the counts [n, 3] and the last vector [n, d] of one hidden state."""
    wide = x.index_select(0, rows).float()
    norm = torch.linalg.vector_norm(wide, dim=-1)
    finite = torch.isfinite(norm)
    good = finite & (norm > 0)
    unit = torch.where(good, norm.reciprocal(), 0.0).unsqueeze(-1) * torch.where(good.unsqueeze(-1), wide, 0.0)
    sums = torch.zeros(n, x.shape[-1], device=x.device).index_add_(0, owner, unit)
    kinds = torch.stack([good, norm == 0, ~finite], dim=-1).to(torch.int64)
    counts = torch.zeros(n, 3, dtype=torch.int64, device=x.device).index_add_(0, owner, kinds)
    return sums, counts, x.index_select(0, ends).float()


def _stacked(layers: tuple[Tensor, ...], width: int) -> Tensor:
    """[n, d] of each layer -> [n, layers, widest d]; zeros change no cosine."""
    return torch.stack([torch.nn.functional.pad(x, (0, width - x.shape[-1])) for x in layers], dim=1)
