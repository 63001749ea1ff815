"""What is accumulated over a corpus, against the same statistics computed from everything at once."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr, sem, spearmanr

from lm_eval_dispersion.geometry import GROUPS, Correlation, Pairs, Within, correlate, dispersion, unit_sums

Floats = NDArray[np.float64]
Document = tuple[int, NDArray[np.float32]]  # its number and its [layers, n, d] vectors

# The same examples on every run, and nothing written to disk.
PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def _no_numpy_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def orders(parts: int) -> list[list[int]]:
    return [list(range(parts)), list(range(parts))[::-1], np.random.default_rng(0).permutation(parts).tolist()]


# --- Within: the mean over segments, clustered by document


def segments_by_document(seed: int, layers: int, documents: int, missing: float) -> list[Floats]:
    """[segments, layers] values of each document; those of a document resemble each other."""
    rng = np.random.default_rng(seed)
    out = []
    for size in rng.integers(1, 9, documents):
        values = 0.6 + 0.1 * rng.standard_normal((1, layers)) + 0.05 * rng.standard_normal((size, layers))
        values[rng.random(values.shape) < missing] = np.nan
        out.append(values)
    return out


def within(documents: list[Floats], layers: int) -> Within:
    accumulator = Within(layers)
    for values in documents:
        accumulator.add(values)
    return accumulator


def clustered_regression_on_a_constant(y: Floats, cluster: NDArray[np.int64]) -> tuple[float, float]:
    """Ordinary least squares with the sandwich covariance of Liang and Zeger, matrix by matrix."""
    X = np.ones((len(y), 1))
    bread = np.linalg.inv(X.T @ X)
    beta = bread @ X.T @ y
    residual = y - X @ beta
    scores = [X[cluster == c].T @ residual[cluster == c] for c in np.unique(cluster)]
    meat = sum(np.outer(s, s) for s in scores)
    g, n, k = len(scores), len(y), 1
    covariance = g / (g - 1) * (n - 1) / (n - k) * bread @ meat @ bread
    return float(beta[0]), float(np.sqrt(covariance[0, 0]))


@PROPERTY
@given(st.integers(1, 4), st.integers(2, 70), st.sampled_from([0.0, 0.3]), seeds)
def test_within_is_a_mean_with_cluster_robust_standard_error(
    layers: int, documents: int, missing: float, seed: int
) -> None:
    data = segments_by_document(seed, layers, documents, missing)
    data += [np.full((2, layers), 0.5), np.full((1, layers), 0.7), np.full((3, layers), np.nan)]
    result = within(data, layers)
    every = np.concatenate(data)
    cluster = np.repeat(np.arange(len(data)), [len(values) for values in data])
    for layer in range(layers):
        has = ~np.isnan(every[:, layer])
        mean, stderr = clustered_regression_on_a_constant(every[has, layer], cluster[has])
        assert result.segments[layer] == has.sum()
        assert result.mean[layer] == pytest.approx(mean, abs=1e-12)
        assert result.stderr[layer] == pytest.approx(stderr, abs=1e-10)


@PROPERTY
@given(st.integers(2, 60), seeds)
def test_with_one_segment_a_document_it_is_the_ordinary_standard_error(documents: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((documents, 3))
    result = within([row[None] for row in values], 3)
    assert result.mean == pytest.approx(values.mean(0), abs=1e-12)
    assert result.stderr == pytest.approx(sem(values), abs=1e-10)


def test_repeating_the_segments_of_a_document_does_not_make_the_mean_more_certain() -> None:
    values = np.random.default_rng(1).random((20, 1))
    once, often = within(list(values), 1), within([np.repeat(row[None], 9, axis=0) for row in values], 1)
    assert often.segments == 9 * once.segments
    assert often.stderr == pytest.approx(once.stderr, rel=1e-9)


def test_within_leaves_out_segments_without_dispersion_layer_by_layer() -> None:
    data = [np.array([[0.2, np.nan], [0.4, 0.5]]), np.array([[np.nan, np.inf]]), np.array([[0.6, np.nan]])]
    result = within(data, 2)
    assert result.segments.tolist() == [3, 1]
    assert result.mean == pytest.approx([0.4, 0.5])
    assert np.isfinite(result.stderr).tolist() == [True, False]  # one document alone has no standard error


def test_within_nothing_there_is_no_mean() -> None:
    result = within([], 3)
    assert result.segments.tolist() == [0, 0, 0]
    assert np.isnan(result.mean).all() and np.isnan(result.stderr).all()


def test_equal_segments_have_no_standard_error_but_zero() -> None:
    result = within([np.full((4, 1), 0.3)] * 7, 1)
    assert result.mean == pytest.approx([0.3], abs=1e-15)
    assert 0 <= result.stderr[0] < 1e-8


def test_within_of_shards_merged_in_any_order_is_within_of_all() -> None:
    data = segments_by_document(2, 3, 90, 0.2)
    whole = within(data, 3)
    for order in orders(4):
        merged = Within(3)
        for shard in order:
            merged.merge(within(data[shard::4], 3))
        assert np.array_equal(merged.segments, whole.segments)
        assert merged.mean == pytest.approx(whole.mean, abs=1e-12)
        assert merged.stderr == pytest.approx(whole.stderr, abs=1e-12)


# --- Pairs: D over all pairs of a corpus


def corpus(seed: int, documents: int, layers: int = 3, d: int = 24) -> list[Document]:
    """Documents with one to six vectors a layer, in random order of their numbers."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((layers, 1, d)) * np.arange(layers)[:, None, None]
    numbers = rng.permutation(3 * documents)[:documents]
    out = []
    for number in numbers:
        own = rng.standard_normal((layers, 1, d))
        noise = rng.standard_normal((layers, rng.integers(1, 7), d))
        out.append((int(number), (centre + own + noise).astype(np.float32)))
    return out


def pairs(documents: list[Document]) -> Pairs:
    accumulator = Pairs()
    for number, vectors in documents:
        sums = unit_sums(torch.from_numpy(vectors))
        accumulator.add(number, sums.total.numpy(), sums.count.numpy())
    return accumulator


def over_all_pairs(vectors: NDArray[np.float32]) -> float:
    x = vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ x.T
    return float((1 - cosines)[~np.eye(len(x), dtype=bool)].mean()) if len(x) > 1 else float("nan")


def delete_a_group(groups: NDArray[np.int64], statistic: Callable[[NDArray[np.bool_]], float]) -> float:
    """The jackknife's standard error: the statistic is computed anew without each group in turn."""
    replicates = np.array([statistic(groups != g) for g in np.unique(groups)])
    k = len(replicates)
    return float(np.sqrt((k - 1) / k * np.sum((replicates - replicates.mean()) ** 2)))


@pytest.mark.parametrize("documents", [2, 7, 50, 180])
def test_pairs_is_dispersion_over_all_pairs_with_a_jackknife_standard_error(documents: int) -> None:
    data = corpus(documents, documents)
    value, stderr = pairs(data).dispersion()
    assert value.dtype == stderr.dtype == np.float64
    groups = np.concatenate([np.full(vectors.shape[1], number % 50) for number, vectors in data])
    for layer in range(3):
        every = np.concatenate([vectors[layer] for _, vectors in data])
        expected = delete_a_group(groups, lambda kept, x=every: over_all_pairs(x[kept]))
        assert value[layer] == pytest.approx(over_all_pairs(every), abs=1e-6)
        assert stderr[layer] == pytest.approx(expected, rel=1e-3)
    assert pairs(data).count.tolist() == [len(groups)] * 3


def test_one_vector_a_document_is_dispersion_across_documents() -> None:
    data = [(number, vectors[:, :1]) for number, vectors in corpus(3, 120)]
    value, _ = pairs(data).dispersion()
    across = torch.from_numpy(np.stack([vectors[:, 0] for _, vectors in data], axis=1))
    assert value == pytest.approx(dispersion(across).numpy(), abs=1e-6)


def test_layers_may_count_different_vectors() -> None:
    data = corpus(4, 60)
    for i, (_, vectors) in enumerate(data):
        if i % 2:
            vectors[1] = 0.0  # in this layer, only every second document has vectors that count
        if i:
            vectors[2] = np.nan  # and in this one, one document alone
    accumulator = pairs(data)
    value, stderr = accumulator.dispersion()
    half = [(number, vectors[1]) for number, vectors in data[::2]]
    groups = np.concatenate([np.full(len(vectors), number % 50) for number, vectors in half])
    every = np.concatenate([vectors for _, vectors in half])
    assert accumulator.count.tolist()[1] == len(every)
    assert value[1] == pytest.approx(over_all_pairs(every), abs=1e-6)
    expected = delete_a_group(groups, lambda kept: over_all_pairs(every[kept]))
    assert stderr[1] == pytest.approx(expected, rel=1e-3)
    assert np.isnan(stderr).tolist() == [False, False, True]


def test_too_few_vectors_or_groups_have_no_dispersion_or_standard_error() -> None:
    value, stderr = Pairs().dispersion()
    assert len(value) == len(stderr) == len(Pairs().count) == 0
    one = np.eye(4, dtype=np.float32)[None]
    value, stderr = pairs([(0, one[:, :1])]).dispersion()
    assert np.isnan(value).all() and np.isnan(stderr).all()
    # two documents of one group: D, but nothing to delete
    value, stderr = pairs([(0, one[:, :1]), (GROUPS, one[:, 1:2])]).dispersion()
    assert value.tolist() == [1.0] and np.isnan(stderr).all()
    # without either of two vectors there is no D left
    value, stderr = pairs([(0, one[:, :1]), (1, one[:, 1:2])]).dispersion()
    assert value.tolist() == [1.0] and np.isnan(stderr).all()


def test_pairs_of_shards_merged_in_any_order_is_pairs_of_all() -> None:
    data = corpus(5, 150)
    whole = pairs(data)
    for order in orders(4):
        merged = Pairs()
        for shard in order:
            merged.merge(pairs(data[shard::4]))
        assert np.array_equal(merged.count, whole.count)
        # float32 sums: another order of adding may change their last digits
        assert merged.dispersion()[0] == pytest.approx(whole.dispersion()[0], abs=1e-6)
        assert merged.dispersion()[1] == pytest.approx(whole.dispersion()[1], rel=1e-4)


def test_merging_and_adding_leave_their_arguments_alone() -> None:
    data = corpus(6, 8)
    other, total, count = pairs(data), np.ones((3, 24), np.float32), np.ones(3, np.int64)
    before = other.dispersion()
    merged = Pairs()
    merged.add(99, total, count)
    merged.merge(other)
    merged.add(99, total, count)
    for number, vectors in data:
        merged.add(number, vectors[:, 0], count)
    assert np.array_equal(other.dispersion(), before)
    assert (total == 1).all() and (count == 1).all()


def test_memory_is_fifty_sums_a_layer_and_digits_last_however_many_documents() -> None:
    layers, d, documents = 2, 256, 20_000
    x = torch.randn(layers, documents, d, generator=torch.Generator().manual_seed(7)) + 0.2
    units = torch.nn.functional.normalize(x, dim=-1).numpy()
    ones = np.ones(layers, np.int64)
    accumulator = Pairs()
    tracemalloc.start()
    for number in range(documents):
        accumulator.add(number, units[:, number], ones)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1.2 * 50 * layers * d * 4  # 100 KiB, where the documents have 40 MiB
    assert accumulator.count.tolist() == [documents] * layers
    assert accumulator.dispersion()[0] == pytest.approx(dispersion(x.double()).numpy(), abs=1e-6)


# --- correlate: D with log-perplexity over segments


def correlated_segments(seed: int, documents: int, missing: float = 0.0) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """[segments, 3] D, one layer with ties; [segments] log-perplexity; their documents' numbers."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(rng.permutation(2 * documents)[:documents], rng.integers(1, 6, documents))
    common = rng.standard_normal(2 * documents)[numbers]
    y = 3 + 0.5 * common + rng.standard_normal(len(numbers))
    x = np.stack([0.7 + 0.1 * common, -0.1 * y, 0.2 * y + common], axis=1)
    x += 0.1 * rng.standard_normal(x.shape)
    x[:, 2] = x[:, 2].round(1)
    x[rng.random(x.shape) < missing] = np.nan
    y[rng.random(y.shape) < missing] = np.nan
    return x, y, numbers


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "with-missing"])
@pytest.mark.parametrize("documents", [8, 50, 160])
def test_correlations_are_those_of_scipy_with_jackknife_standard_errors(documents: int, missing: float) -> None:
    x, y, numbers = correlated_segments(documents, documents, missing)
    result = correlate(x, y, numbers)
    for layer in range(3):
        has = ~np.isnan(x[:, layer]) & ~np.isnan(y)
        a, b, groups = x[has, layer], y[has], numbers[has] % 50
        assert result.segments[layer] == has.sum()
        for statistic, value, stderr in (
            (pearsonr, result.pearson, result.pearson_stderr),
            (spearmanr, result.spearman, result.spearman_stderr),
        ):
            assert value[layer] == pytest.approx(statistic(a, b).statistic, abs=1e-12)
            expected = delete_a_group(groups, lambda kept, s=statistic, a=a, b=b: s(a[kept], b[kept]).statistic)
            assert stderr[layer] == pytest.approx(expected, abs=1e-12)


def test_a_monotone_relation_has_rank_correlation_one() -> None:
    y = np.random.default_rng(8).standard_normal(40)
    result = correlate(np.stack([np.exp(y), -(y**3)], axis=1), y, np.arange(40))
    assert result.spearman == pytest.approx([1, -1], abs=1e-12)
    assert result.spearman_stderr == pytest.approx([0, 0], abs=1e-12)
    assert (np.abs(result.pearson) < 0.99).all() and (result.pearson_stderr > 0.01).all()


def _numbers(result: Correlation) -> Floats:
    return np.stack([result.pearson, result.pearson_stderr, result.spearman, result.spearman_stderr])


def test_correlations_without_variance_or_segments_are_undefined() -> None:
    y = np.arange(6.0)
    x = np.stack([np.full(6, 0.5), np.full(6, np.nan), [1, 2, *[np.nan] * 4]], axis=1)
    for result in (
        correlate(x, y, np.arange(6)),
        correlate(np.stack([y, y, y], axis=1), np.full(6, 2.5), np.arange(6)),
        correlate(np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64)),
    ):
        assert _numbers(result).shape == (4, 3)
        assert np.isnan(_numbers(result)).all()
    assert correlate(x, y, np.arange(6)).segments.tolist() == [6, 0, 2]


@pytest.mark.parametrize(
    "documents",
    [[4, 4, 4, 4], [4, 54, 104, 154], [0, 0, 1, 1]],
    ids=["one-document", "one-group", "too-few-left-without-a-group"],
)
def test_a_correlation_that_cannot_be_jackknifed_has_no_standard_error(documents: list[int]) -> None:
    x, y = np.array([[0.1], [0.3], [0.2], [0.5]]), np.array([1.0, 2.0, 3.0, 4.0])
    result = correlate(x, y, np.array(documents))
    assert result.pearson[0] == pytest.approx(pearsonr(x[:, 0], y).statistic)
    assert result.spearman[0] == pytest.approx(spearmanr(x[:, 0], y).statistic)
    assert np.isnan([result.pearson_stderr[0], result.spearman_stderr[0]]).all()
