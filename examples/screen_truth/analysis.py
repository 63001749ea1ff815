"""Statistics of the truth test: what a signal of some models says of their bits per byte.

Arrays are [mixtures, seeds]. The mixture is the unit: models of one mixture differ by their seed alone, so intervals
and permutations take a mixture's models together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
RESAMPLES = 2000


@dataclass(frozen=True)
class Verdict:
    """One signal against bits per byte."""

    rho: float
    """Spearman's, over all models."""
    low: float
    high: float
    """95 % percentile bootstrap that resamples mixtures. With six of them it is too narrow: an indication."""
    p: float
    """Share of all orders of the mixtures with a rho at least as far in the predicted direction; at six, in 720."""
    of_means: float
    """Spearman's, over the mixtures' means."""
    agreeing: int
    """Of pairs of models of one mixture, those that the signal orders as bits per byte do."""
    pairs: int
    regret: float
    """Bits per byte of the model that the signal prefers, minus those of the best."""


def spearman(x: Floats, y: Floats) -> Floats:
    """[..., n] against [..., n] -> [...]; NaN where one of them is constant."""
    a, b = (ranks - ranks.mean(-1, keepdims=True) for ranks in (rankdata(v, axis=-1) for v in (x, y)))
    with np.errstate(invalid="ignore"):
        rho: Floats = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return rho


def flat(values: Floats) -> Floats:
    """[..., mixtures, seeds] -> [..., models]."""
    return values.reshape(*values.shape[:-2], -1)


def verdict(signal: Floats, bits: Floats, sign: int, seed: int = 0) -> Verdict:
    """What ``signal`` says of ``bits``.

    Args:
        signal: [mixtures, seeds].
        bits: [mixtures, seeds], bits per byte.
        sign: -1 where a larger signal should mean fewer bits, 1 where it should mean more.
        seed: of the bootstrap.
    """
    count = len(bits)
    rho = float(spearman(flat(signal), flat(bits)))
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    low, high = np.nanpercentile(spearman(flat(signal[drawn]), flat(bits[drawn])), [2.5, 97.5])
    orders = np.array(list(permutations(range(count))))
    by_chance = spearman(flat(signal)[None], flat(bits[orders]))
    within = [
        sign * (signal[m, i] - signal[m, j]) * (bits[m, i] - bits[m, j]) > 0
        for m in range(count)
        for i, j in combinations(range(bits.shape[1]), 2)
    ]
    return Verdict(
        rho=rho,
        low=float(low),
        high=float(high),
        p=float(np.mean(sign * by_chance >= sign * rho - 1e-9)),
        of_means=float(spearman(signal.mean(1), bits.mean(1))),
        agreeing=int(sum(within)),
        pairs=len(within),
        regret=float(flat(bits)[np.argmin(sign * flat(signal))] - bits.min()),
    )
