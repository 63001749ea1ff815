"""AUROC, the hardest tenth and length held constant: against scikit-learn and against counting every pair."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lm_eval_dispersion.rank import Order
from lm_eval_dispersion.rank._order import auroc_in_strata


def drawn(seed: int, n: int = 60) -> tuple[Any, Any, Any]:
    """Hardness with ties and some of it undefined, whether the answers are wrong, and five resamples' weights."""
    rng = np.random.default_rng(seed)
    hardness = np.round(rng.standard_normal(n), 1)
    hardness[rng.random(n) < 0.1] = np.nan
    return hardness, rng.random(n) < 0.4, rng.multinomial(n, np.full(n, 1 / n), size=5).astype(float)


def pairs(hardness: Any, wrong: Any) -> tuple[float, int]:
    """Pairs in which the wrong answer's document is harder, a tie one half, and how many pairs there are."""
    won, count = 0.0, 0
    for h in hardness[wrong]:
        for other in hardness[~wrong]:
            won += 1.0 if h > other else 0.5 if h == other else 0.0
            count += 1
    return won, count


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_scikit_learns_and_of_a_resample_that_of_its_documents(seed: int) -> None:
    hardness, wrong, weights = drawn(seed)
    has = np.isfinite(hardness)
    order = Order(hardness, wrong)
    assert order.n == has.sum()
    assert order.auroc(np.ones(len(wrong))) == pytest.approx(roc_auc_score(wrong[has], hardness[has]), abs=1e-12)
    expected = []
    for counts in weights.astype(int):
        some = np.repeat(np.flatnonzero(has), counts[has])
        expected.append(roc_auc_score(wrong[some], hardness[some]))
    np.testing.assert_allclose(order.auroc(weights), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_within_strata_only_pairs_of_one_stratum_count(seed: int) -> None:
    hardness, wrong, weights = drawn(seed)
    strata = np.random.default_rng(seed).integers(3, size=len(wrong))
    orders = [Order(np.where(strata == s, hardness, np.nan), wrong) for s in range(3)]
    expected = []
    for counts in weights.astype(int):
        sums, cases = 0.0, 0
        for s in range(3):
            some = np.repeat(np.arange(len(wrong)), np.where((strata == s) & np.isfinite(hardness), counts, 0))
            won, count = pairs(hardness[some], wrong[some])
            if count:
                sums += won / count * wrong[some].sum()
                cases += int(wrong[some].sum())
        expected.append(sums / cases)
    np.testing.assert_allclose(auroc_in_strata(orders, weights), expected, atol=1e-12)


def test_a_signal_that_is_length_alone_says_nothing_within_lengths() -> None:
    length = np.repeat([10.0, 20.0, 30.0], 20)
    wrong = np.random.default_rng(0).random(60) < length / 40
    assert Order(length, wrong).auroc(np.ones(60)) > 0.6
    orders = [Order(np.where(length == value, length, np.nan), wrong) for value in (10, 20, 30)]
    assert auroc_in_strata(orders, np.ones(60)) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_hardest_tenth_takes_the_mean_over_documents_tied_at_its_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hardness, wrong = rng.integers(4, size=23).astype(float), rng.random(23) < 0.5
    found = Order(hardness, wrong).accuracy_in_hardest_tenth(np.ones(23))
    ranked, many = np.sort(hardness)[::-1], 3
    sure, tied = np.flatnonzero(hardness > ranked[many - 1]), np.flatnonzero(hardness == ranked[many - 1])
    every = [(~wrong[[*sure, *some]]).mean() for some in combinations(tied, many - len(sure))]
    assert found == pytest.approx(np.mean(every), abs=1e-12)


def test_what_is_not_defined_is_nan() -> None:
    ones, wrong = np.ones(4), np.array([True, False, True, False])
    assert np.isnan(Order(np.full(4, np.nan), wrong).auroc(ones))
    assert np.isnan(Order(np.full(4, np.nan), wrong).accuracy_in_hardest_tenth(ones))
    assert np.isnan(Order(np.arange(4.0), np.ones(4, dtype=bool)).auroc(ones))
    assert np.isnan(auroc_in_strata([], ones))
    assert Order(np.zeros(4), wrong).auroc(ones) == 0.5
