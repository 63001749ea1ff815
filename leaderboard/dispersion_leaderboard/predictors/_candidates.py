"""Which predictors a benchmark's observations allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispersion_leaderboard.predictors._observations import Floats, Observations, Signal
from dispersion_leaderboard.predictors._target import to_target

LEAST_MODELS, LEAST_FAMILIES = 8, 3
_SHARED = 0.8
"""A benchmark is a candidate predictor of another where this share of the other's models have it."""
LABEL_FREE = (
    "dispersion",
    "perplexity",
    "confidence",
    "likelihood",
    "geometry",
    "gap",
    "size",
    "compute",
    "combination",
)


@dataclass(frozen=True)
class Candidate:
    """A predictor before it is fitted."""

    label: str
    kind: str
    features: tuple[str, ...]
    values: Floats
    """[n, p] of all entries."""
    choose: str = ""
    """``depth`` or ``benchmark`` where one of the p is chosen."""
    group: str = ""

    @property
    def fits(self) -> bool:
        """Whether accuracy is fitted to it, rather than told by it."""
        return self.kind != "unfitted"

    @property
    def depths(self) -> Floats:
        """Relative depth of every column, where those are depths."""
        return np.linspace(0, 1, self.values.shape[1])


def candidates(observations: Observations, measured: Floats) -> list[Candidate]:
    """Single signals in the caller's order, one other benchmark, then combinations.

    Args:
        observations: of the task.
        measured: [n] whether the entry's accuracy is known.
    """
    signals = list(observations.signals.values())
    singles = [_single(s) for s in signals if s.kind != "benchmark"]
    return [*singles, *_other_benchmark(signals, measured), *_combinations(signals)]


def headline_dispersions(signals: list[Signal]) -> dict[str, Signal]:
    """By group, the one that stands for it: the first with one value an entry."""
    found: dict[str, Signal] = {}
    for signal in signals:
        if signal.kind == "dispersion" and signal.values.ndim == 1:
            found.setdefault(signal.group, signal)
    return found


def first(signals: list[Signal], kind: str, group: str | None = None) -> Signal | None:
    """The first of a kind (and group)."""
    return next((s for s in signals if s.kind == kind and (group is None or s.group == group)), None)


def _single(signal: Signal) -> Candidate:
    profile = signal.values.ndim == 2
    values = signal.values if profile else signal.values[:, None]
    return Candidate(signal.label, signal.kind, (signal.label,), values, "depth" if profile else "", signal.group)


def _other_benchmark(signals: list[Signal], measured: Floats) -> list[Candidate]:
    found, labels = [], []
    for signal in signals:
        if signal.kind != "benchmark":
            continue
        inside = (signal.values >= 0) & (signal.values <= 1)
        if (inside & (measured > 0)).sum() >= _SHARED * measured.sum():
            unknown = np.full(len(inside), np.nan)
            found.append(np.where(inside, to_target(np.where(inside, signal.values, 0.5), unknown, 0.0), np.nan))
            labels.append(signal.label)
    if not found:
        return []
    label = "accuracy on one other benchmark"
    return [Candidate(label, "benchmark", tuple(labels), np.column_stack(found), "benchmark")]


def _combinations(signals: list[Signal]) -> list[Candidate]:
    size = first(signals, "size")
    joined: list[list[Signal]] = []
    for group, dispersion in headline_dispersions(signals).items():
        perplexity = first(signals, "perplexity", group)
        joined += [[dispersion, perplexity]] if perplexity else []
        joined += [[dispersion, size]] if size else []
        joined += [[dispersion, perplexity, size]] if perplexity and size else []
    joined += [[s, size] for s in signals if s.kind == "perplexity" and size]
    return [
        Candidate(
            label=" + ".join(s.label for s in parts),
            kind="combination",
            features=tuple(s.label for s in parts),
            values=np.column_stack([s.values for s in parts]),
            group=parts[0].group,
        )
        for parts in joined
    ]
