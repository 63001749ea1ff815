"""Percentile bootstrap over documents, of many statistics on the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from lm_eval_dispersion._percentile import percentile_interval
from lm_eval_dispersion.rank._order import Floats

RESAMPLES = 2000
# Numbers that are held at a time: few enough for a processor's cache.
_ROOM = 2**19

Statistic = Callable[[Floats], Floats]
"""Of weights [..., n]: how often a resample holds each document, or ones for the documents themselves."""
_Name = TypeVar("_Name", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval; NaN where undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if not np.isfinite(self.value):
            return "-"
        return f"{self.value:.2f}" + (f" [{self.low:.2f}, {self.high:.2f}]" if np.isfinite(self.low) else "")


def at_once(statistic: Statistic, n: int) -> float:
    """Of the documents themselves."""
    return float(statistic(np.ones(n)))


def bootstrap(
    statistics: Mapping[_Name, tuple[Statistic, float]], n: int, resamples: int, seed: int
) -> dict[_Name, Estimate]:
    """Each statistic with its interval, in the order given; shows progress where it takes long.

    Args:
        statistics: each with the level of its interval, 0.95 for one of 95 %.
        n: documents.
        resamples: each of n documents, drawn with replacement.
        seed: of the draw.
    """
    found: dict[_Name, list[Floats]] = {name: [] for name in statistics}
    with tqdm(total=resamples, desc="resampling documents", unit="", delay=2) as bar:
        for weights in _resampled(n, resamples, seed):
            for name, (statistic, _) in statistics.items():
                found[name].append(statistic(weights))
            bar.update(len(weights))
    return {
        name: _estimate(at_once(statistic, n), np.concatenate(found[name]), level)
        for name, (statistic, level) in statistics.items()
    }


def _resampled(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Weights, [some, n] at a time."""
    rng, many = np.random.default_rng(seed), max(1, _ROOM // n)
    for begin in range(0, resamples, many):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(many, resamples - begin)).astype(np.float64)


def _estimate(value: float, resampled: Floats, level: float) -> Estimate:
    return Estimate(value, *percentile_interval(value, resampled, level))
