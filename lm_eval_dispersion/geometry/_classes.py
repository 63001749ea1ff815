"""Two classes of unit vectors, of right and of wrong answers: how D across a slice goes with its share of right ones.

The paper draws slices of documents of which 0 to 100 % were answered rightly and shows that D across them rises with
that share (arXiv 2506.24106, v2). With a, b and e the mean cosine over pairs of different documents (both right, one of
each, both wrong), the mean of D over all slices of n documents of which k are right is

    E D(k) = 1 - (k (k - 1) a + 2 k (n - k) b + (n - k) (n - k - 1) e) / (n (n - 1))

exactly, because each pair of a kind is in as many slices as any other. Of the population that the documents are drawn
from, with class means m_c and m_w, the three are unbiased estimates of |m_c|^2, m_c.m_w and |m_w|^2. (|S / n|^2 of a
sum S of n unit vectors, the plug-in estimate, is too large by (1 - a) / n: it counts each document's cosine with
itself.) So three numbers fix the whole curve, 1 - |p m_c + (1 - p) m_w|^2 up to O(1 / n), a parabola: it rises
everywhere exactly when a <= b <= e, and by e - a from a slice all wrong to one all right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEVELS = 11
"""Of a slice: 0, 10, ..., 100 % right."""
SEEDS = 10
"""Slices of a level."""
SIZE = 100
"""Documents of a slice, where both classes have so many."""


@dataclass(frozen=True)
class StratumSums:
    """Sums of unit vectors by stratum and class, as far as their inner products say it."""

    labels: list[str]
    """[K], sorted."""
    counts: NDArray[np.int64]
    """[K, 2]: how many are right, and wrong."""
    gram: Floats
    """[2 K, 2 K]: inner products of the sums of the right ones of each stratum, then of the wrong ones."""


def coordinates(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """[N, d] -> [N, r], r <= d: other vectors with the same inner products.

    Few vectors of many components are rotated into the space that they span, so that a sum of them costs N^2, as it
    does by their Gram matrix, and not N d. Float64 where that is 256 MiB at most.
    """
    n, d = vectors.shape
    if 4 * n <= d:
        return np.asarray(np.linalg.qr(vectors.astype(np.float64).T, mode="r")).T
    return vectors.astype(np.float64) if n * d <= 2**25 else vectors


def mean_cosines(x: NDArray[np.floating], right: NDArray[np.generic], wrong: NDArray[np.generic]) -> Floats:
    """The mean cosine over pairs of different documents: both right, one of each, both wrong.

    Args:
        x: [N, r], unit vectors.
        right: [R, N], how many times each document is in the class; a document's pairs with itself do not count.
        wrong: [R, N], likewise; no document is in both.

    Returns:
        [R, 3]; NaN where a class has fewer than two documents (for ``one of each``: none).
    """
    sums = [(weights.astype(x.dtype) @ x).astype(np.float64) for weights in (right, wrong)]
    n, itself = (np.stack([f(w.astype(np.float64)) for w in (right, wrong)]) for f in (_total, _squares))
    squares = np.stack([_squares(s) for s in sums])
    with np.errstate(invalid="ignore", divide="ignore"):
        among = (squares - itself) / (n * n - itself)
        between = np.einsum("rd,rd->r", *sums) / (n[0] * n[1])
    return np.stack([among[0], between, among[1]], -1)


def expected_dispersion(cosines: Floats, size: int, right: NDArray[np.integer]) -> Floats:
    """Mean D over all slices of ``size`` documents; see the module's docstring.

    Args:
        cosines: [..., 3], as ``mean_cosines`` gives them.
        size: n, at least 2.
        right: [levels], k of each.

    Returns:
        [..., levels]
    """
    k, rest = right.astype(np.float64), size - right.astype(np.float64)
    pairs = np.stack([k * (k - 1), 2 * k * rest, rest * (rest - 1)])
    return 1 - cosines @ pairs / (size * (size - 1))


def slice_size(right: int, wrong: int) -> int:
    """How many documents a slice has: 100, or as many tens as the smaller class has."""
    return min(SIZE, min(right, wrong) // 10 * 10)


def levels(size: int) -> NDArray[np.int64]:
    """[11]: how many documents of a slice are right."""
    return np.arange(LEVELS) * (size // (LEVELS - 1))


def drawn_slices(x: NDArray[np.floating], right: Bools, size: int) -> Floats:
    """[SEEDS, LEVELS]: D across slices of documents drawn at random, without replacement."""
    classes = np.flatnonzero(right), np.flatnonzero(~right)
    found = np.empty((SEEDS, LEVELS))
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        for level, k in enumerate(levels(size)):
            chosen = [rng.choice(of, m, replace=False) for of, m in zip(classes, (k, size - k), strict=True)]
            total = x[np.concatenate(chosen)].sum(0, dtype=np.float64)
            found[seed, level] = 1 - (total @ total - size) / (size * (size - 1))
    return found


def stratum_sums(x: NDArray[np.floating], right: Bools, labels: Sequence[str]) -> StratumSums:
    """The sums of each stratum and class."""
    names, of = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    members = (of == np.arange(len(names))[:, None])[None] & np.stack([right, ~right])[:, None]  # [2, K, N]
    sums = (members.reshape(-1, len(right)).astype(x.dtype) @ x).astype(np.float64)
    return StratumSums([str(name) for name in names], members.sum(-1).T, sums @ sums.T)


def _total(weights: Floats) -> Floats:
    return np.asarray(weights.sum(-1))


def _squares(values: Floats) -> Floats:
    return np.einsum("rn,rn->r", values, values)
