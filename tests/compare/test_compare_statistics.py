"""Errors, intervals, p and numbers of documents against brute force and other people's code."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import texts
from scipy.stats import bootstrap, ttest_1samp
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from lm_eval_dispersion.compare import Estimate, documents_needed, holm, interval, p_value, ratio


def test_the_error_of_bits_per_byte_is_the_bootstraps_over_documents() -> None:
    sizes, hard = texts(200)
    found = ratio(hard * sizes, sizes.astype(float))

    def bits_per_byte(bits: np.ndarray, n: np.ndarray, axis: int = -1) -> np.ndarray:
        return bits.sum(axis) / n.sum(axis)

    assert found.value == pytest.approx((hard * sizes).sum() / sizes.sum())
    drawn = bootstrap((hard * sizes, sizes), bits_per_byte, paired=True, n_resamples=4000, rng=0, vectorized=True)
    assert found.stderr == pytest.approx(drawn.standard_error, rel=0.08)


def test_the_error_of_a_difference_is_the_paired_bootstraps_and_far_below_that_of_unpaired_runs() -> None:
    sizes, hard = texts(120)
    rng = np.random.default_rng(1)
    one, other = hard * sizes, (hard + rng.normal(0.03, 0.05, 120)) * sizes
    found = ratio(other - one, sizes.astype(float))
    drawn = rng.integers(120, size=(4000, 120))
    differences = other[drawn].sum(1) / sizes[drawn].sum(1) - one[drawn].sum(1) / sizes[drawn].sum(1)
    assert found.value == pytest.approx(other.sum() / sizes.sum() - one.sum() / sizes.sum())
    assert found.stderr == pytest.approx(differences.std(), rel=0.08)
    apart = [ratio(bits, sizes.astype(float)).stderr or 0 for bits in (one, other)]
    assert found.stderr is not None and found.stderr < np.hypot(*apart) / 2


def test_documents_of_one_size_give_students_t_test() -> None:
    values = np.random.default_rng(2).normal(0.2, 1, 12)
    found = ratio(values, np.ones(12))
    theirs = ttest_1samp(values, 0)
    assert p_value(found) == pytest.approx(theirs.pvalue)
    assert interval(found) == pytest.approx(tuple(theirs.confidence_interval()))


@pytest.mark.parametrize("documents", [20, 60])
def test_95_of_100_intervals_of_a_difference_hold_the_true_one(documents: int) -> None:
    rng = np.random.default_rng(documents)
    held = []
    for _ in range(2000):
        sizes = rng.lognormal(6.5, 0.5, documents)
        found = ratio(rng.standard_t(5, documents) * 0.05 * sizes + 0.02 * sizes, sizes)
        low, high = interval(found) or (np.nan, np.nan)
        held.append(low <= 0.02 <= high)
    assert 0.93 < np.mean(held) < 0.97


def test_p_is_adjusted_as_statsmodels_has_holm_and_intervals_as_it_has_bonferroni() -> None:
    p = [0.04, 0.001, 0.03, 0.9, 0.0004, 0.03]
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    assert holm([]) == []
    found = Estimate(0.1, 0.04, 30)
    for comparisons in (1, 6):
        low, _ = interval(found, comparisons) or (np.nan, np.nan)
        decided = multipletests([p_value(found)] + [1.0] * (comparisons - 1), method="bonferroni")[0][0]
        assert (low > 0) == decided


@pytest.mark.parametrize("comparisons", [1, 6])
@pytest.mark.parametrize("effect", [0.9, 0.3, 0.05])
def test_the_documents_that_are_needed_are_those_of_statsmodels(effect: float, comparisons: int) -> None:
    found = Estimate(effect, 1 / 10**0.5, 10)  # a standard deviation of 1 a document
    theirs = TTestPower().solve_power(effect_size=effect, alpha=0.05 / comparisons, power=0.8)
    needed = documents_needed(found, comparisons)
    assert needed is not None and needed == pytest.approx(theirs, rel=0.02, abs=1.5)


def test_so_many_documents_do_tell_in_four_of_five_tries() -> None:
    rng = np.random.default_rng(0)
    needed = documents_needed(Estimate(0.4, 1 / 10**0.5, 10)) or 0
    told = [(p_value(ratio(rng.normal(0.4, 1, needed), np.ones(needed))) or 0) < 0.05 for _ in range(2000)]
    assert np.mean(told) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("documents", [2, 3, 5, 19, 400])
def test_where_documents_do_not_tell_more_are_needed(documents: int) -> None:
    rng = np.random.default_rng(documents)
    for _ in range(100):
        found = ratio(rng.normal(0.1, 1, documents), np.ones(documents))
        needed = documents_needed(found)
        assert (p_value(found) or 0) < 0.05 or needed is None or needed > documents


def test_one_document_and_no_difference_say_nothing() -> None:
    one = ratio(np.array([3.0]), np.array([2.0]))
    assert (one.value, one.stderr, interval(one), p_value(one), documents_needed(one)) == (1.5, None, None, None, None)
    same = ratio(np.zeros(5), np.ones(5))
    assert p_value(same) == 1 and documents_needed(same) is None
    assert p_value(ratio(np.ones(5), np.ones(5))) == 0
    assert documents_needed(Estimate(1e-9, 0.1, 40)) is None
