"""What all parts share: the settings of a run, and how a variant is timed and its memory read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import _workload
from benchmarks._measure import MIB, Figure, Rounds, alternate, fresh, median, ratio
from benchmarks._sample import Prepare, measure

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

Variant = Callable[["HFLM", list[str]], Prepare]
"""A function of a module: its name is how a process of its own finds it."""


@dataclass(frozen=True)
class Setup:
    """What the command line asks for."""

    pairs: int
    memory_pairs: int
    windows: int

    def time(self, label: str, **variants: Variant) -> Rounds:
        """In this process, one alternation; every variant runs once beforehand on one window and is not counted."""
        lm, texts = _workload.load(), _workload.windows(self.windows)
        for variant in variants.values():
            measure(variant(lm, texts[:1]))
        prepared = {name: variant(lm, texts) for name, variant in variants.items()}
        samplers = {name: lambda prepare=prepare: measure(prepare) for name, prepare in prepared.items()}
        return alternate(samplers, self.pairs, f"{label} time")

    def memory(self, label: str, **variants: Variant) -> Rounds:
        """Each sample in a process of its own."""
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


def command(variant: Variant, windows: int) -> list[str]:
    """Starts a variant as a ``Worker``."""
    name = f"{variant.__module__}:{variant.__name__}"
    return [sys.executable, "-m", "benchmarks._variant", name, str(windows)]
