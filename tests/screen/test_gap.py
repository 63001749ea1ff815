"""G and its error against sums over pairs."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoints import brute_force

from lm_eval_dispersion.screen import between, gap, within
from lm_eval_dispersion.screen._gap import gaps, left_out

DRAWN = np.random.default_rng(3)
ROWS = DRAWN.standard_normal((40, 12)) * DRAWN.uniform(0.1, 9, (40, 1)) + 0.3
T, GENERAL = list(range(9)), list(range(15, 40))


def test_g_is_the_mean_over_pairs() -> None:
    inside, across = brute_force(ROWS, T, GENERAL)
    assert within(ROWS[T]) == pytest.approx(inside, abs=1e-12)
    assert between(ROWS[T], ROWS[GENERAL]) == pytest.approx(across, abs=1e-12)
    assert gap(ROWS[T], ROWS[GENERAL]) == pytest.approx(inside + across, abs=1e-12)
    assert gap(ROWS[T].astype(np.float32) * 7, ROWS[GENERAL]) == pytest.approx(inside + across, abs=1e-6)


def test_the_error_is_the_jackknife_over_both_kinds_of_tokens() -> None:
    found = left_out(ROWS[T], ROWS[GENERAL])
    without = [gap(ROWS[[t for t in T if t != left]], ROWS[GENERAL]) for left in T]
    without_general = [gap(ROWS[T], ROWS[[v for v in GENERAL if v != left]]) for left in GENERAL]
    np.testing.assert_allclose(found.domain, without, atol=1e-12)
    np.testing.assert_allclose(found.general, without_general, atol=1e-12)
    variance = sum((len(x) - 1) * np.var(x) for x in (without, without_general))
    assert found.stderr == pytest.approx(np.sqrt(variance))


def test_the_error_of_a_difference_is_paired_by_token() -> None:
    a = left_out(ROWS[T], ROWS[GENERAL])
    assert a.minus(a).stderr == 0
    turned = ROWS @ np.linalg.qr(DRAWN.standard_normal((12, 12)))[0]
    assert a.minus(left_out(turned[T], turned[GENERAL])).stderr == pytest.approx(0, abs=1e-12)


def test_many_sets_at_once_are_each_as_alone() -> None:
    sets = np.stack([DRAWN.permutation(15)[:6] for _ in range(20)])
    found = gaps(ROWS, sets, ROWS[GENERAL])
    np.testing.assert_allclose(found, [gap(ROWS[one], ROWS[GENERAL]) for one in sets], atol=1e-12)


@pytest.mark.parametrize("rows", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.ones(4), np.ones((1, 4))])
def test_rows_that_have_no_g_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError):
        gap(rows, ROWS[:, :4])
