"""Right and wrong answers' vectors: the exact curve, the three numbers, their interval and the permutation tests."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from lm_eval_dispersion.geometry import Classes, Vectors, _resampling, classes
from lm_eval_dispersion.geometry._classes import coordinates, expected_dispersion, mean_cosines, slice_size

Floats = NDArray[np.float64]


def units(rng: np.random.Generator, n: int, d: int, towards: Floats | float = 0.0) -> Floats:
    x = rng.standard_normal((n, d)) + towards
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def brute_force(x: Floats) -> float:
    """D from the n x n matrix."""
    cosines = x @ x.T
    return float(np.mean([1 - cosines[i, j] for i, j in itertools.permutations(range(len(x)), 2)]))


def mean_of_pairs(x: Floats) -> float:
    """Of the cosines of different vectors."""
    return float(np.mean([u @ v for u, v in itertools.permutations(x, 2)]))


def planted(
    rng: np.random.Generator, n: int = 120, d: int = 12, apart: float = 0.6
) -> tuple[Floats, NDArray[np.bool_]]:
    """Wrong answers lie near one direction, right ones do so less."""
    right = np.arange(n) % 3 == 0
    towards = np.zeros((n, d))
    towards[:, 0] = np.where(right, 1.0, 1.0 + apart)
    return units(rng, n, d, towards), right


def test_the_curve_is_the_mean_of_d_over_every_slice_there_is() -> None:
    rng = np.random.default_rng(0)
    x, right = units(rng, 9, 4, np.array([0.8, 0, 0, 0])), np.arange(9) < 4
    cosines = mean_cosines(x, right[None], ~right[None])[0]
    size, shares = 4, np.arange(5)
    by_enumeration = []
    for k in shares:
        some, others = itertools.combinations(range(4), k), list(itertools.combinations(range(4, 9), size - k))
        drawn = [x[[*one, *other]] for one in some for other in others]
        by_enumeration.append(np.mean([brute_force(slice_) for slice_ in drawn]))
    np.testing.assert_allclose(expected_dispersion(cosines, size, shares), by_enumeration, atol=1e-12)


def test_the_three_numbers_are_mean_cosines_of_pairs_of_different_documents() -> None:
    rng = np.random.default_rng(1)
    x, right = planted(rng)
    found = classes(x, right, {})
    expected = mean_of_pairs(x[right]), float(np.mean(x[right] @ x[~right].T)), mean_of_pairs(x[~right])
    np.testing.assert_allclose([one.value for one in found.cosines], expected, atol=1e-12)
    assert found.difference.value == pytest.approx(expected[2] - expected[0])
    assert (found.right, found.wrong) == (40, 80)


def test_a_resample_has_pairs_of_different_documents_alone_however_often_one_is_drawn() -> None:
    rng = np.random.default_rng(2)
    x, right = units(rng, 6, 3), np.array([True, True, True, False, False, False])
    times = np.array([2, 0, 1, 3, 1, 0])
    copies = [i for i, m in enumerate(times) for _ in range(m)]
    pairs = [(i, j) for i, j in itertools.permutations(copies, 2) if i != j]

    def mean(of: tuple[bool, bool]) -> float:
        return float(np.mean([x[i] @ x[j] for i, j in pairs if (right[i], right[j]) == of]))

    expected = mean((True, True)), mean((True, False)), mean((False, False))
    np.testing.assert_allclose(mean_cosines(x, (times * right)[None], (times * ~right)[None])[0], expected, atol=1e-12)


def test_slices_that_are_drawn_lie_about_the_curve_and_are_drawn_alike_each_time() -> None:
    x, right = planted(np.random.default_rng(3), n=600)
    found = classes(x, right, {})
    assert found.size == 100 and found.slices.shape == (10, 11) and len(found.curve) == 11
    expected = np.array([one.value for one in found.curve])
    spread = found.slices.std(0, ddof=1) / np.sqrt(10)
    assert (np.abs(found.slices.mean(0) - expected) < 5 * spread).all()
    assert (np.diff(expected) > 0).all()
    again = classes(x, right, {})
    assert np.array_equal(again.slices, found.slices) and again.difference == found.difference
    # One document more of a class, and no seed draws what it drew: not merely the same numbers again.
    assert not np.array_equal(classes(x[:-1], right[:-1], {}).slices, found.slices)


def test_a_slice_is_of_as_many_tens_as_the_smaller_class_has() -> None:
    assert [slice_size(*both) for both in ((9, 500), (10, 10), (68, 214), (214, 68), (100, 100), (5000, 700))] == [
        *(0, 10, 60, 60, 100, 100)
    ]
    with pytest.raises(ValueError, match="9 right and 31 wrong: at least ten of each"):
        classes(units(np.random.default_rng(0), 40, 3), np.arange(40) < 9, {})


def test_a_slice_all_of_one_class_is_measured_as_by_brute_force() -> None:
    x, right = planted(np.random.default_rng(4), n=60)  # 20 right: a slice all right is all of them
    found = classes(x, right, {})
    assert found.size == 20
    np.testing.assert_allclose(found.slices[:, -1], brute_force(x[right]), atol=1e-12)
    assert found.curve[-1].value == pytest.approx(brute_force(x[right]))
    assert found.curve[-1].value - found.curve[0].value == pytest.approx(found.difference.value)


def test_few_vectors_of_many_components_give_the_same_numbers_as_many_zeros_less() -> None:
    x, right = planted(np.random.default_rng(5), n=60, d=20)
    wide = np.pad(x, ((0, 0), (0, 400))).astype(np.float32)
    assert coordinates(wide).shape == (60, 60) and coordinates(x).shape == (60, 20)
    np.testing.assert_allclose(coordinates(wide) @ coordinates(wide).T, x @ x.T, atol=1e-6)
    narrow, rotated = classes(x, right, {}), classes(wide, right, {})
    assert rotated.difference.low == pytest.approx(narrow.difference.low, abs=1e-6)
    assert [p.p for p in rotated.permutations] == [p.p for p in narrow.permutations]
    np.testing.assert_allclose(rotated.slices, narrow.slices, atol=1e-6)


def test_of_many_vectors_there_are_fewer_resamples_and_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    x, right = planted(np.random.default_rng(6))
    assert classes(x, right, {}).resamples == 1000
    monkeypatch.setattr(_resampling, "_PRODUCTS", 300 * x.size)
    monkeypatch.setattr(_resampling, "_BLOCK", 7 * len(x))
    assert classes(x, right, {}).resamples == 300
    monkeypatch.setattr(_resampling, "_PRODUCTS", 1)
    assert classes(x, right, {}).resamples == 200


def test_a_planted_difference_is_found_and_none_is_not() -> None:
    rng = np.random.default_rng(7)
    x, right = planted(rng, n=300)
    found = classes(x, right, {"subject": list("abc" * 100)[::-1]})
    assert found.difference.low > 0 and found.rises > 0.9
    x = units(rng, 300, 12, np.eye(12)[0])
    none = classes(x, right, {})
    assert none.difference.low < 0 < none.difference.high and none.permutations[0].p > 0.05
    # The paper's picture of such data has a Spearman near 1, or near -1: every other order of the answers has, too.
    assert none.monotone > 0.8


def test_what_the_strata_alone_explain_is_no_difference_within_them() -> None:
    """Two subjects, one near a direction and answered wrongly more often."""
    rng = np.random.default_rng(8)
    subject = np.arange(400) % 2
    right = rng.random(400) < np.where(subject == 0, 0.8, 0.2)
    x = units(rng, 400, 10, np.outer(np.where(subject == 0, 0.3, 2.0), np.eye(10)[0]))
    strata = {"subject": [f"s{s}" for s in subject], "answer": ["ABC"[i % 3] for i in range(400)]}
    found = classes(x, right, strata)
    by = {one.within: one for one in found.permutations}
    assert list(by) == [(), ("subject",), ("answer",), ("subject", "answer")]
    assert by[()].p < 0.01 and by[("answer",)].p < 0.01
    assert by[("subject",)].p > 0.05 and by[("subject", "answer")].p > 0.05
    assert by[("subject",)].mean == pytest.approx(found.difference.value, abs=0.02) and abs(by[()].mean) < 0.02
    assert [one.strata for one in found.permutations] == [1, 2, 3, 6]


def test_a_stratum_of_one_class_is_not_shuffled_and_where_none_is_left_there_is_no_p() -> None:
    x, right = planted(np.random.default_rng(9))
    lonely = classes(x, right, {"subject": ["yes" if r else "no" for r in right], "length": ["a", "b"] * 60})
    by = {one.within: one for one in lonely.permutations}
    assert by[("subject",)].shuffled == 0 and np.isnan(by[("subject",)].p)
    assert by[("subject",)].mean == pytest.approx(lonely.difference.value)
    assert by[("length",)].shuffled == by[()].shuffled == 120


def test_p_is_uniform_where_right_and_wrong_are_alike_within_strata_that_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_resampling, "_MOST", 199)
    monkeypatch.setattr(_resampling, "_LEAST", 199)
    rng, found = np.random.default_rng(10), []
    for _ in range(100):
        subject = np.arange(60) % 2
        right = rng.random(60) < np.where(subject == 0, 0.7, 0.3)
        x = units(rng, 60, 6, np.outer(np.where(subject == 0, 0.3, 1.5), np.eye(6)[0]))
        by = {one.within: one.p for one in classes(x, right, {"subject": subject.astype(str).tolist()}).permutations}
        found.append(by[("subject",)])
    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) < 0.1


def test_the_interval_covers_the_difference_of_the_population(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cosines that are known: vectors near one of two directions, with noise that is orthogonal to both."""
    monkeypatch.setattr(_resampling, "_MOST", 250)
    rng, covered = np.random.default_rng(11), 0
    d, angle = 40, 0.5
    for _ in range(60):
        noise = units(rng, 150, d)
        noise[:, 0] = 0
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        right = np.arange(150) < 60
        along = np.where(right, np.cos(angle + 0.2), np.cos(angle))
        x = np.sqrt(1 - along**2)[:, None] * noise
        x[:, 0] = along
        interval = classes(x, right, {}).difference
        covered += interval.low <= np.cos(angle) ** 2 - np.cos(angle + 0.2) ** 2 <= interval.high
    assert covered >= 51  # 57 are expected


def test_sums_of_strata_are_known_by_their_inner_products() -> None:
    x, right = planted(np.random.default_rng(12))
    labels = ["b" if i % 4 else "a" for i in range(120)]
    found = classes(x, right, {"subject": labels}).strata["subject"]
    members = [[(label == name) & (r == of) for label, r in zip(labels, right, strict=True)] for of in (True, False)
               for name in "ab"]  # fmt: skip
    sums = np.stack([x[np.array(one)].sum(0) for one in members])
    assert found.labels == ["a", "b"]
    np.testing.assert_allclose(found.gram, sums @ sums.T, atol=1e-9)
    assert found.counts.T.reshape(-1).tolist() == [sum(one) for one in members]


def test_single_vectors_are_kept_by_document_and_merged() -> None:
    rng = np.random.default_rng(13)
    x = units(rng, 5, 7).astype(np.float32)
    some, others = Vectors(), Vectors()
    for document in (4, 0, 2):
        some.add(document, x[document])
    others.add(2, x[3])
    others.add(1, x[1])
    some.merge(pickle.loads(pickle.dumps(others)))
    assert some.counts == {4: 1, 0: 1, 2: 2, 1: 1}
    np.testing.assert_array_equal(some.of([1, 4, 0]), x[[1, 4, 0]])
    np.testing.assert_allclose(some.of([2])[0], x[2] + x[3], atol=1e-6)


def test_a_difference_is_found_again_by_anyone_from_what_is_recorded() -> None:
    """|m_c|^2 and |m_w|^2 from the inner products of the sums alone."""
    x, right = planted(np.random.default_rng(14))
    found: Classes = classes(x, right, {"subject": ["a", "b"] * 60})
    gram, n = found.strata["subject"].gram, (found.right, found.wrong)
    squares = gram[:2, :2].sum(), gram[2:, 2:].sum()
    among = [(square - count) / (count * (count - 1)) for square, count in zip(squares, n, strict=True)]
    np.testing.assert_allclose(among, [found.cosines[0].value, found.cosines[2].value], atol=1e-12)
