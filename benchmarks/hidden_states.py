"""(b) Recording against transformers' ``output_hidden_states=True`` with D by the closed form afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import _workload
from benchmarks._measure import Figure
from benchmarks._sample import Job, Prepare
from benchmarks._setup import Setup
from benchmarks.recording import recording

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from torch import Tensor


def output_hidden_states(lm: HFLM, texts: list[str]) -> Prepare:
    """lm_eval's request method on a model call that asks for all states and reduces them when it has them all."""
    import torch

    from lm_eval_dispersion import dispersion

    def prepare() -> Job:
        requests = _workload.rolling(texts, record=False).instances
        answers: list[float] = []
        found: list[Tensor] = []

        def call(inputs: Tensor, **_: Any) -> Tensor:
            with torch.no_grad():
                output = lm.model(inputs, output_hidden_states=True)
                # Position 0 is the prefix lm_eval prepends.
                found.append(torch.stack([dispersion(state[:, 1:]) for state in output.hidden_states]))
            return output.logits

        def work() -> None:
            lm._model_call = call
            try:
                answers.extend(lm.loglikelihood_rolling(requests))
            finally:
                del lm._model_call

        def report() -> dict[str, Any]:
            return {"loglikelihoods": answers, "within": torch.cat(found, 1).mean(1).tolist()}

        return Job(work, report)

    return prepare


def run(setup: Setup) -> Iterator[Figure | str]:
    """The figures, and what else there is to say."""
    theirs = "output_hidden_states"
    names, what = ("recording", theirs, "again"), "recording / `output_hidden_states=True`"
    variants = {"recording": recording, "again": output_hidden_states, theirs: output_hidden_states}
    times = setup.time("(b)", **variants)
    ours, other = (np.array(times[name][0].found["within"]) for name in ("recording", theirs))
    off = float(np.abs(ours - other).max())
    if not off < 1e-5:
        raise SystemExit(f"(b) the two ways differ in D by {off:.1e}: the comparison is void")
    yield f"(b) D of all {len(ours)} states agrees between the two ways to {off:.0e}"
    yield setup.figure("b", what, times, names, "seconds")
    peaks = setup.memory("(b)", **variants)
    yield setup.figure("b", what, peaks, names, "peak")
