"""(a) Recording all hidden states against plain lm_eval, on the same requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks import _workload
from benchmarks._measure import Figure
from benchmarks._sample import Job, Prepare
from benchmarks._setup import Setup

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM


def stock(lm: HFLM, texts: list[str]) -> Prepare:
    """lm_eval's own request method."""

    def prepare() -> Job:
        requests = _workload.rolling(texts, record=False).instances
        answers: list[float] = []
        return Job(lambda: answers.extend(lm.loglikelihood_rolling(requests)), lambda: {"loglikelihoods": answers})

    return prepare


def recording(lm: HFLM, texts: list[str]) -> Prepare:
    """Ours."""

    def prepare() -> Job:
        task = _workload.rolling(texts, record=True)
        answers: list[float] = []

        def report() -> dict[str, Any]:
            return {"loglikelihoods": answers, "within": _workload.recorded(task)["within"]["mean"]}

        return Job(lambda: answers.extend(lm.dispersion_loglikelihood_rolling(task.instances)), report)

    return prepare


def run(setup: Setup) -> Iterator[Figure | str]:
    """The figures, and what else there is to say."""
    names, what = ("recording", "stock", "again"), "recording / plain lm_eval"
    times = setup.time("(a)", stock=stock, again=stock, recording=recording)
    stock_answers = {tuple(s.found["loglikelihoods"]) for s in times["stock"] + times["again"]}
    if {tuple(s.found["loglikelihoods"]) for s in times["recording"]} != stock_answers:
        raise SystemExit("(a) recording changes lm_eval's own answers: the comparison is void")
    yield "(a) the log-likelihoods of all timed runs, with and without recording, are bit-identical"
    yield setup.figure("a", what, times, names, "seconds", target=1.01)
    yield setup.figure("a", what, times, names, "cpu")
    peaks = setup.memory("(a)", stock=stock, again=stock, recording=recording)
    yield setup.figure("a", what, peaks, names, "peak", target=1.02)
