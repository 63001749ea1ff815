"""(a) Recording all hidden states against plain lm_eval, on the same requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks import _workload
from benchmarks._measure import MIB, Figure, Rounds, Sampler, alternate, fresh, median, ratio
from benchmarks._sample import Job, Prepare, measure

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

Variant = Callable[["HFLM", list[str]], Prepare]


@dataclass
class Setup:
    """What the command line asks for, and the one model all timings share."""

    pairs: int
    memory_pairs: int
    windows: int

    @cached_property
    def lm(self) -> HFLM:
        """Loaded on first use."""
        return _workload.load()

    @cached_property
    def texts(self) -> list[str]:
        """Of exactly 512 tokens each."""
        return _workload.windows(self.windows)

    def time(self, label: str, **variants: Variant) -> Rounds:
        """In this process, one alternation; every variant runs once beforehand and is not counted."""
        samplers = {name: self._sampler(variant) for name, variant in variants.items()}
        few = Setup(1, 1, 1)
        few.__dict__["lm"] = self.lm
        for variant in variants.values():
            few._sampler(variant)()
        return alternate(samplers, self.pairs, f"{label} time")

    def _sampler(self, variant: Variant) -> Sampler:
        prepare = variant(self.lm, self.texts)
        return lambda: measure(prepare)

    def memory(self, label: str, **variants: str) -> Rounds:
        """Each sample in a process of its own; the value is the variant's name in ``_variant``."""
        _workload.windows(self.windows)  # made once, here
        samplers = {name: fresh(command(variant, self.windows)) for name, variant in variants.items()}
        return alternate(samplers, self.memory_pairs, f"{label} memory")

    def figure(
        self, part: str, what: str, rounds: Rounds, names: tuple[str, str, str], field: str, target: float | None = None
    ) -> Figure:
        """A table line from (numerator, denominator, the denominator's twin)."""
        above, below, twin = names
        base = median(rounds, below, field)
        quantity, unit = {
            "seconds": ("time", f"{base / self.windows:.3f} s a window"),
            "cpu": ("processor time", f"{base / self.windows:.3f} s a window"),
            "peak": ("peak memory", f"{base / MIB:.0f} MiB"),
        }[field]
        measured, noise = ratio(rounds, above, below, field), ratio(rounds, twin, below, field)
        return Figure(part, what, quantity, measured, noise, unit, target)


def command(variant: str, windows: int) -> list[str]:
    """Starts a variant as a ``Worker``."""
    return [sys.executable, "-m", "benchmarks._variant", variant, str(windows)]


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
    peaks = setup.memory("(a)", stock="stock", again="stock", recording="recording")
    yield setup.figure("a", what, peaks, names, "peak", target=1.02)
