"""What the capture asks of vLLM's two model runners; a release that moves it fails here and at no user's.

The newer runner needs a GPU. Here its own classes, with tensors on the CPU, go through the recorder as in a run.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from reference import profile

from lm_eval_dispersion.capture import Unsupported, _vllm_worker
from lm_eval_dispersion.capture._reduce import Reductions
from lm_eval_dispersion.capture._spans import name_of
from lm_eval_dispersion.capture._vllm_engine import Engine
from lm_eval_dispersion.capture._vllm_worker import (
    Told,
    _Recorder,
    dispersion_await,
    dispersion_begin,
    dispersion_take,
    dispersion_take_sums,
)
from lm_eval_dispersion.geometry import GROUPS

RUNNERS = ("vllm.v1.worker.gpu_model_runner", "vllm.v1.worker.gpu.model_runner")
LAYERS, WIDTH = 3, 8


@pytest.mark.parametrize("module", RUNNERS)
def test_the_seams_are_there(module: str) -> None:
    runner = importlib.import_module(module)
    for method in ("execute_model", "sample_tokens", "load_model"):
        assert callable(getattr(runner.GPUModelRunner, method))
    assert {"hidden_states", "aux_hidden_states"} <= set(runner.ExecuteModelState._fields)


def test_what_the_scheduler_and_the_sampling_parameters_say_is_there() -> None:
    from vllm import SamplingParams
    from vllm.v1.core.sched.output import CachedRequestData, NewRequestData, SchedulerOutput
    from vllm.v1.worker.worker_base import WorkerBase

    def names(kind: Any) -> set[str]:
        return {f.name for f in dataclasses.fields(kind)}

    assert {"req_id", "prompt_token_ids", "num_computed_tokens"} <= names(NewRequestData)
    assert {"req_ids", "num_computed_tokens"} <= names(CachedRequestData)
    wanted = {"scheduled_new_reqs", "scheduled_cached_reqs", "num_scheduled_tokens", "finished_req_ids"}
    assert wanted <= names(SchedulerOutput)
    assert SamplingParams(skip_reading_prefix_cache=True).skip_reading_prefix_cache
    assert callable(WorkerBase)


def scheduled(new: dict[str, tuple[list[int], int]], old: dict[str, int], tokens: dict[str, int]) -> Any:
    from vllm.v1.core.sched.output import CachedRequestData, NewRequestData, SchedulerOutput

    output = SchedulerOutput.make_empty()
    output.scheduled_new_reqs = [
        NewRequestData(request, prompt, [], None, None, ([],), computed, None)
        for request, (prompt, computed) in new.items()
    ]
    output.scheduled_cached_reqs = dataclasses.replace(
        CachedRequestData.make_empty(), req_ids=list(old), num_computed_tokens=list(old.values())
    )
    output.num_scheduled_tokens = tokens
    return output


class Newer:
    """Stands where the newer runner does: its own state and batch classes, filled as it fills them."""

    def __init__(self, states: dict[str, torch.Tensor]) -> None:
        self.states, self.execute_model_state = states, None
        self.dispersion_all_layers = True
        self.order: list[str] = []

    def execute_model(self, output: Any) -> None:
        from vllm.v1.worker.gpu.input_batch import InputBatch, InputBuffers
        from vllm.v1.worker.gpu.model_runner import ExecuteModelState

        starts = {r.req_id: r.num_computed_tokens for r in output.scheduled_new_reqs}
        cached = output.scheduled_cached_reqs
        starts |= dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        tokens = output.num_scheduled_tokens
        total = sum(tokens.values())
        batch = InputBatch.make_dummy(len(tokens), total, InputBuffers(8, 64, torch.device("cpu")))
        # The runner sorts its batch by length, not by arrival.
        batch.req_ids = sorted(tokens, key=lambda r: (tokens[r], r))
        batch.query_start_loc_np = np.cumsum([0, *(tokens[r] for r in batch.req_ids)], dtype=np.int32)
        rows = torch.cat([self.states[r][:, starts[r] : starts[r] + tokens[r]] for r in batch.req_ids], dim=1)
        padded = torch.nn.functional.pad(rows, (0, 0, 0, 5), value=torch.nan)
        *auxiliary, last = padded
        fields = dict.fromkeys(ExecuteModelState._fields)
        self.execute_model_state = ExecuteModelState(
            **fields | {"input_batch": batch, "hidden_states": last, "aux_hidden_states": auxiliary}
        )

    def sample_tokens(self) -> str:
        self.execute_model_state = None
        return "sampled"


@pytest.fixture
def states() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {r: torch.randn(LAYERS, n, WIDTH, generator=generator) for r, n in (("a-1", 12), ("b-2", 7), ("c-3", 9))}


PROMPTS = {"a-1": list(range(12)), "b-2": list(range(20, 27)), "c-3": list(range(40, 49))}


def recording(runner: Newer, spans: Told, totals: bool = False) -> tuple[Any, _Recorder]:
    """The recorder, and a worker that has it."""
    recorder = _Recorder(runner, Reductions(totals))
    worker = SimpleNamespace(dispersion_recorder=recorder)
    dispersion_await(worker, spans)
    return worker, recorder


def pieces(take: Callable[[Any], bytes], worker: Any) -> list[dict[str, Any]]:
    found = []
    while piece := take(worker):
        with np.load(io.BytesIO(piece)) as file:
            arrays = {key: file[key] for key in file.files}
        found += [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    return found


def taken(worker: Any) -> dict[int, dict[str, Any]]:
    return {int(one["span"]): one for one in pieces(dispersion_take, worker)}


@pytest.mark.parametrize("at_once", [1, 2**27], ids=["a-span-at-a-time", "all-spans-at-once"])
def test_chunks_mixed_lengths_and_preemption_on_the_newer_runner(
    states: dict[str, torch.Tensor], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_vllm_worker, "_AT_ONCE", at_once)
    runner = Newer(states)
    # The second span is of nobody's, the third of a document of each of two tasks.
    spans = {
        name_of(PROMPTS["a-1"]): [(0, 1, 12, [(0, 3)]), (1, 0, 5, [])],
        name_of(PROMPTS["b-2"]): [(2, 0, 7, [(0, GROUPS + 3), (1, 4)])],
    }
    worker, recorder = recording(runner, spans, totals=True)
    steps = [
        scheduled({"a-1": (PROMPTS["a-1"], 0), "c-3": (PROMPTS["c-3"], 0)}, {}, {"a-1": 4, "c-3": 9}),
        scheduled({"b-2": (PROMPTS["b-2"], 0)}, {"a-1": 4, "c-3": 9}, {"a-1": 4, "b-2": 6}),
        # Preempted, so run again from its beginning.
        scheduled({}, {"a-1": 0, "b-2": 6}, {"a-1": 9, "b-2": 1}),
        scheduled({}, {"a-1": 9}, {"a-1": 3}),
    ]
    for step in steps:
        runner.execute_model(step)
        assert runner.sample_tokens() == "sampled"
    found = taken(worker)
    assert len(found) == 3 and not dispersion_take(worker)
    for number, (request, start, stop) in enumerate((("a-1", 1, 12), ("a-1", 0, 5), ("b-2", 0, 7))):
        one, vectors = found[number], states[request][:, start:stop]
        assert not one["zero"].any() and not one["nonfinite"].any()
        np.testing.assert_allclose(one["dispersion"], profile(vectors), atol=1e-6)
        assert sum(value.nbytes for value in one.values() if value.ndim) < 200  # bytes, and no vector
    units = {r: torch.nn.functional.normalize(x, dim=-1) for r, x in states.items()}
    a, b = units["a-1"][:, 1:12], units["b-2"]
    expected = {
        (0, False, 3): (a[:, -1] + b[:, -1], 2),
        (0, True, 3): (a.sum(1) + b.sum(1), 18),
        (1, False, 4): (b[:, -1], 1),
        (1, True, 4): (b.sum(1), 7),
    }
    sums = pieces(dispersion_take_sums, worker)
    assert len(sums) == len(expected)
    for one in sums:
        total, count = expected[int(one["place"]), bool(one["all_pairs"]), int(one["group"])]
        np.testing.assert_allclose(one["total"], total, atol=1e-6)
        assert one["count"].tolist() == [count] * LAYERS
    recorder.detach()
    assert "execute_model" not in vars(runner) and "sample_tokens" not in vars(runner)


def test_auxiliary_states_of_a_speculative_draft_are_none_of_ours(states: dict[str, torch.Tensor]) -> None:
    """A draft of EAGLE-3's kind asks the engine for a few layers; of the record they are no part."""
    runner = Newer(states)
    runner.dispersion_all_layers = False
    worker, _ = recording(runner, {name_of(PROMPTS["b-2"]): [(0, 0, 7, [(0, 0)])]})
    runner.execute_model(scheduled({"b-2": (PROMPTS["b-2"], 0)}, {}, {"b-2": 7}))
    runner.sample_tokens()
    (one,) = taken(worker).values()
    assert one["zero"].tolist() == one["nonfinite"].tolist() == [0]
    np.testing.assert_allclose(one["dispersion"], profile(states["b-2"][-1:]), atol=1e-6)
    assert {found["count"].tolist() == [1] for found in pieces(dispersion_take_sums, worker)} == {True}


def test_a_cached_prefix_never_shrinks_a_prompt_in_silence(states: dict[str, torch.Tensor]) -> None:
    runner = Newer(states)
    worker, _ = recording(runner, {name_of(PROMPTS["a-1"]): [(0, 0, 12, [(0, 0)])]})
    runner.execute_model(scheduled({"a-1": (PROMPTS["a-1"], 8)}, {}, {"a-1": 4}))
    runner.sample_tokens()
    assert not dispersion_take(worker) and not dispersion_take_sums(worker)


def test_zero_and_nonfinite_vectors_are_counted(states: dict[str, torch.Tensor]) -> None:
    states["b-2"][1, 2], states["b-2"][2, 3] = 0.0, torch.nan
    runner = Newer(states)
    worker, _ = recording(runner, {name_of(PROMPTS["b-2"]): [(0, 0, 7, [(0, 0)])]})
    runner.execute_model(scheduled({"b-2": (PROMPTS["b-2"], 0)}, {}, {"b-2": 7}))
    runner.sample_tokens()
    (one,) = taken(worker).values()
    assert one["zero"].tolist() == [0, 1, 0] and one["nonfinite"].tolist() == [0, 0, 1]


def test_what_is_handed_over_comes_in_pieces(states: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vllm_worker, "_PIECE", 1)
    runner = Newer(states)
    worker, _ = recording(runner, {name_of(PROMPTS["b-2"]): [(0, 0, 7, [(0, 0)]), (1, 0, 6, [(0, 1), (0, 2)])]})
    runner.execute_model(scheduled({"b-2": (PROMPTS["b-2"], 0)}, {}, {"b-2": 7}))
    runner.sample_tokens()
    assert len(taken(worker)) == 2
    assert {int(one["group"]) for one in pieces(dispersion_take_sums, worker)} == {0, 1, 2}


class Workers:
    """Stands where ``vllm.LLM`` does."""

    def __init__(self, told: Any) -> None:
        self.told, self.called = told, []

    def collective_rpc(self, method: str, args: tuple[Any, ...]) -> list[Any]:
        self.called.append(method)
        if isinstance(self.told, Exception):
            raise self.told
        return [self.told]


@pytest.mark.parametrize(
    "raised",
    [NotImplementedError("a method"), RuntimeError("Worker failed with error 'no attribute dispersion_begin'")],
    ids=["one process", "many processes"],
)
def test_workers_without_the_plugin_are_told_of_in_one_line(raised: Exception) -> None:
    workers = Workers(raised)
    with (
        pytest.raises(Unsupported, match=r"\AvLLM's workers did not load .*VLLM_PLUGINS.*\Z"),
        Engine(workers).recording(),
    ):
        pass
    assert workers.called == ["dispersion_begin"]


def test_a_runner_without_a_seam_is_told_of_in_one_line() -> None:
    worker = SimpleNamespace(model_runner=SimpleNamespace(execute_model=None, sample_tokens=None))
    workers = Workers(dispersion_begin(worker, [], [], False))
    with pytest.raises(Unsupported, match=r"\AvLLM .* has no execute_model_state .*\Z"), Engine(workers).recording():
        pass
    assert workers.called == ["dispersion_begin", "dispersion_end"]
