"""Scores and their family bootstraps, against scipy, scikit-learn and rows written out again and again."""

import numpy as np
import pytest
from dispersion_leaderboard.predictors import _scores
from dispersion_leaderboard.predictors._scores import scores, weights
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score


def _data(seed=0, models=60, families=9, ties=False):
    rng = np.random.default_rng(seed)
    family = rng.integers(0, families, models)
    family[:families] = np.arange(families)
    measured = rng.uniform(size=models)
    predicted = measured + 0.3 * rng.normal(size=models)
    return (np.round(measured, 1), np.round(predicted, 1), family) if ties else (measured, predicted, family)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_values_are_the_libraries(ties, seed):
    measured, predicted, family = _data(seed, ties=ties)
    found = scores(measured, predicted, family)
    assert found.r2.value == pytest.approx(r2_score(measured, predicted), abs=1e-12)
    assert found.mae.value == pytest.approx(100 * mean_absolute_error(measured, predicted), abs=1e-12)
    assert found.spearman.value == pytest.approx(stats.spearmanr(measured, predicted).statistic, abs=1e-12)
    assert found.kendall.value == pytest.approx(stats.kendalltau(measured, predicted).statistic, abs=1e-12)
    assert (found.n_models, found.n_families, found.rank_resamples) == (60, 9, 1000)


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_of_repeated_families(ties):
    measured, predicted, family = _data(ties=ties)
    found = scores(measured, predicted, family)
    statistics = {
        "r2": r2_score,
        "mae": lambda a, b: 100 * mean_absolute_error(a, b),
        "spearman": lambda a, b: stats.spearmanr(a, b).statistic,
        "kendall": lambda a, b: stats.kendalltau(a, b).statistic,
    }
    resampled = {name: [] for name in statistics}
    for drawn in weights(9).astype(int):
        rows = np.concatenate([np.tile(np.flatnonzero(family == f), times) for f, times in enumerate(drawn)])
        for name, statistic in statistics.items():
            resampled[name].append(statistic(measured[rows], predicted[rows]))
    for name, values in resampled.items():
        estimate = getattr(found, name)
        np.testing.assert_allclose([estimate.low, estimate.high], np.percentile(values, [2.5, 97.5]), atol=1e-9)


def test_kendall_of_many_models_is_estimated_from_pairs(monkeypatch):
    measured, predicted, family = _data(models=600, families=12)
    exact = scores(measured, predicted, family).kendall
    monkeypatch.setattr(_scores, "_PAIRS", 50_000)
    _scores.pairs.cache_clear()
    sampled = scores(measured, predicted, family).kendall
    _scores.pairs.cache_clear()
    assert sampled.value == exact.value
    assert [sampled.low, sampled.high] == pytest.approx([exact.low, exact.high], abs=0.02)


def test_many_models_have_fewer_resamples_and_say_so():
    measured, predicted, family = _data(models=2500, families=40)
    assert scores(measured, predicted, family).rank_resamples == 200
    measured, predicted, family = _data(models=9000, families=40)
    assert scores(measured, predicted, family).rank_resamples == 100


def test_what_is_undefined_is_nan_and_says_why():
    measured, predicted, family = _data()
    constant = scores(measured, np.full(60, 0.5), family)
    assert np.isnan(constant.spearman.value) and constant.spearman.reason and np.isfinite(constant.mae.low)
    same = scores(np.full(60, 0.5), predicted, family)
    assert np.isnan(same.r2.value) and same.r2.reason
    few = scores(measured, predicted, family % 2)
    assert np.isfinite(few.r2.value) and np.isnan(few.r2.low) and few.mae.reason == "fewer than 3 families"
    mean = scores(measured, predicted, family, ordered=False)
    assert np.isnan(mean.kendall.value) and mean.kendall.reason


def test_interval_of_the_mean_error_covers():
    """Families drawn from a population whose mean absolute error is known."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        of_family = rng.exponential(0.1, size=30)
        family = np.repeat(np.arange(30), 5)
        found = scores(np.full(150, 0.5), 0.5 + of_family[family], family).mae
        held += found.low <= 10 <= found.high
    # The percentile interval is a little short for skew and 30 families; 95 % nominal.
    assert 0.86 <= held / 200 <= 0.99
