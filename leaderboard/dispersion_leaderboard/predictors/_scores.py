"""Scores of out-of-fold predictions, each with a bootstrap interval that resamples whole families.

Percentile intervals at 95 %, fixed seed. The predictions are not made anew in a resample. What are sums over models is
summed by family once, and a resample is a matrix product; for the rank correlations a family drawn twice counts twice
(midranks by weight; pairs by family and family), which is the statistic of the repeated rows exactly.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

from dispersion_leaderboard.predictors._folds import sums_by_group
from dispersion_leaderboard.predictors._observations import Floats, Integers
from dispersion_leaderboard.predictors._results import Estimate, Scores

RESAMPLES = 1000
_SEED = 0
_RANKED_AT_FULL = 500
_LEAST_RANKED = 100
_PAIRS = 200_000
_FEW = "fewer than 3 families"
_CONSTANT = "all predictions or all measurements are equal"


@lru_cache(maxsize=8)
def weights(families: int, resamples: int = RESAMPLES) -> Floats:
    """[resamples, families]: how often each is drawn."""
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(families, np.full(families, 1 / families), size=resamples).astype(float)
    drawn.setflags(write=False)
    return np.asarray(drawn)


def estimate(value: float, resampled: Floats, tail: float = 0.025) -> Estimate:
    """Percentile interval; none where the statistic is defined in too few resamples."""
    if not np.isfinite(value):
        return Estimate(float("nan"), float("nan"), float("nan"), _CONSTANT)
    defined = resampled[np.isfinite(resampled)]
    # An interval from the few resamples in which a statistic happens to be defined would flatter.
    if len(defined) < 0.95 * len(resampled) or not len(resampled):
        return Estimate(float(value), float("nan"), float("nan"), "not defined in too many resamples")
    low, high = np.percentile(defined, [100 * tail, 100 * (1 - tail)])
    return Estimate(float(value), float(low), float(high))


def mean_by_family(values: Floats, families: Integers, tail: float = 0.025, resamples: int = RESAMPLES) -> Estimate:
    """Mean over models."""
    count = int(families.max()) + 1
    if count < 3:
        return Estimate(float(values.mean()), float("nan"), float("nan"), _FEW)
    by_family = sums_by_group(np.column_stack([np.ones(len(values)), values]), families, count)
    n, total = (weights(count, resamples) @ by_family).T
    return estimate(float(values.mean()), total / n, tail)


def scores(measured: Floats, predicted: Floats, families: Integers, ordered: bool = True) -> Scores:
    """Compares fractions.

    Args:
        measured: [n].
        predicted: [n].
        families: [n] codes from 0.
        ordered: False for the mean, whose out-of-fold predictions run against what was measured for no other reason
            than that it was left out.
    """
    count = int(families.max()) + 1
    undefined = Estimate(float("nan"), float("nan"), float("nan"), "the mean orders nothing")
    spearman = kendall = undefined
    resamples = 0
    if ordered:
        resamples = int(np.clip(RESAMPLES * _RANKED_AT_FULL // len(measured), _LEAST_RANKED, RESAMPLES))
        spearman, kendall = _ranks(measured, predicted, families, count, resamples)
    return Scores(
        r2=_r2(measured, predicted, families, count),
        mae=mean_by_family(100 * np.abs(predicted - measured), families),
        spearman=spearman,
        kendall=kendall,
        n_models=len(measured),
        n_families=count,
        rank_resamples=resamples if count >= 3 else 0,
    )


def _r2(measured: Floats, predicted: Floats, families: Integers, count: int) -> Estimate:
    about = measured - measured.mean()
    total = float(about @ about)
    if total <= 1e-12 * len(measured):
        return Estimate(float("nan"), float("nan"), float("nan"), _CONSTANT)
    error = (predicted - measured) ** 2
    value = 1 - float(error.sum()) / total
    if count < 3:
        return Estimate(value, float("nan"), float("nan"), _FEW)
    by_family = sums_by_group(np.column_stack([np.ones(len(about)), about, about**2, error]), families, count)
    n, s, ss, e = (weights(count) @ by_family).T
    spread = ss - s * s / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return estimate(value, np.where(spread > 1e-12 * n, 1 - e / spread, np.nan))


def _ranks(x: Floats, y: Floats, families: Integers, count: int, resamples: int) -> tuple[Estimate, Estimate]:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        nothing = Estimate(float("nan"), float("nan"), float("nan"), _CONSTANT)
        return nothing, nothing
    spearman, kendall = float(stats.spearmanr(x, y).statistic), float(stats.kendalltau(x, y).statistic)
    if count < 3:
        return tuple(Estimate(v, float("nan"), float("nan"), _FEW) for v in (spearman, kendall))  # type: ignore[return-value]
    drawn = weights(count)[:resamples]
    return (
        estimate(spearman, weighted_spearman(x, y, drawn[:, families])),
        estimate(kendall, _resampled_kendall(x, y, families, count, drawn)),
    )


def weighted_spearman(x: Floats, y: Floats, row_weights: Floats) -> Floats:
    """Spearman's rho of the rows repeated as often as each row of ``row_weights`` says."""
    a, b = _weighted_ranks(x, row_weights), _weighted_ranks(y, row_weights)
    total = row_weights.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = a - (row_weights * a).sum(1, keepdims=True) / total
        b = b - (row_weights * b).sum(1, keepdims=True) / total
        rho: Floats = (row_weights * a * b).sum(1) / np.sqrt(
            (row_weights * a * a).sum(1) * (row_weights * b * b).sum(1)
        )
    return rho


def _weighted_ranks(values: Floats, row_weights: Floats) -> Floats:
    distinct, place = np.unique(values, return_inverse=True)
    by_value = sums_by_group(row_weights.T, place, len(distinct)).T
    return np.asarray((np.cumsum(by_value, axis=1) - by_value / 2)[:, place])


@lru_cache(maxsize=4)
def pairs(n: int) -> tuple[Integers, Integers]:
    """All pairs of n models; where those are more than 200,000, as many drawn at random."""
    if n * (n - 1) // 2 <= _PAIRS:
        i, j = np.triu_indices(n, 1)
        return i, j
    rng = np.random.default_rng(_SEED)
    i = rng.integers(n, size=_PAIRS)
    return i, (i + rng.integers(1, n, size=_PAIRS)) % n


def _resampled_kendall(x: Floats, y: Floats, families: Integers, count: int, drawn: Floats) -> Floats:
    i, j = pairs(len(x))
    a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
    cell = families[i] * count + families[j]
    with np.errstate(divide="ignore", invalid="ignore"):
        both, of_x, of_y = (
            np.einsum("bf,bf->b", drawn @ np.bincount(cell, s, count * count).reshape(count, count), drawn)
            for s in (a * b, a * a, b * b)
        )
        tau: Floats = both / np.sqrt(of_x * of_y)
    return tau
