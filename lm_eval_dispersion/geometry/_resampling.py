"""How sure the difference between right and wrong answers' vectors is: a bootstrap, and permutations within strata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lm_eval_dispersion.geometry._classes import (
    Bools,
    Floats,
    StratumSums,
    coordinates,
    drawn_slices,
    expected_dispersion,
    levels,
    mean_cosines,
    slice_size,
    stratum_sums,
)

_MOST, _LEAST = 1000, 200
# Products of a resample with all vectors; beyond, there are fewer resamples.
_PRODUCTS = 2**32
# Numbers of resamples' weights at a time.
_BLOCK = 2**22
# Of two differences that are the same but for rounding.
_TIE = 1e-7
HIGH_SPEARMAN = 0.9
"""What a curve of eleven points is called monotone from."""

Draw = Callable[[int], tuple[NDArray[np.generic], NDArray[np.generic]]]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % percentile interval over resampled documents."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Permutations:
    """The difference where right and wrong are shuffled among the documents of each stratum."""

    within: tuple[str, ...]
    """What the strata are of; of several, each combination is one. None: all documents are one stratum."""
    strata: int
    shuffled: int
    """Documents of strata that have both right and wrong ones; the others stay as they are."""
    mean: float
    """Of the shuffled differences: what the strata explain of it."""
    p: float
    """Two-sided; NaN where nothing can be shuffled."""


@dataclass(frozen=True)
class Classes:
    """What is known of right and wrong answers' vectors."""

    right: int
    wrong: int
    cosines: tuple[Estimate, Estimate, Estimate]
    """Both right, one of each, both wrong: unbiased for |m_c|^2, m_c.m_w and |m_w|^2."""
    difference: Estimate
    """|m_w|^2 - |m_c|^2, by how much D rises from a slice all wrong to one all right."""
    rises: float
    """In how many of the resamples the curve rises everywhere, as a share."""
    size: int
    """Documents of a slice."""
    curve: tuple[Estimate, ...]
    """[LEVELS]: the mean of D over all slices of this size."""
    slices: Floats
    """[SEEDS, LEVELS]: D across some of them."""
    permutations: tuple[Permutations, ...]
    """First without strata, then within those of each kind, last within combinations of all."""
    monotone: float
    """Of the permutations without strata the share whose curve has a Spearman of .9 or more, up or down."""
    strata: dict[str, StratumSums]
    resamples: int
    """Of the bootstrap and of each kind of permutation."""


def resamples_for(n: int, components: int) -> int:
    """1,000; of many long vectors fewer, and 200 at least."""
    return int(min(_MOST, max(_LEAST, _PRODUCTS // (n * components))))


def classes(vectors: NDArray[np.floating], right: Bools, strata: Mapping[str, Sequence[str]], seed: int = 0) -> Classes:
    """The geometry of two classes.

    Args:
        vectors: [N, d], unit vectors, one a document.
        right: [N]; at least ten are true and ten are false.
        strata: by kind (a subject, an answer letter, ...), a label for each document.
        seed: of what is drawn at random; the slices have seeds of their own, 0 to 9.

    Raises:
        ValueError: for fewer than ten of a class.
    """
    counts = int(right.sum()), int((~right).sum())
    size = slice_size(*counts)
    if not size:
        raise ValueError(f"{counts[0]} right and {counts[1]} wrong: at least ten of each")
    x = coordinates(vectors)
    count, rng = resamples_for(*x.shape), np.random.default_rng(seed)
    observed = mean_cosines(x, right[None], ~right[None])[0]
    resampled = _each(x, count, _bootstrap(right, rng))
    k = levels(size)
    a, b, e = resampled.T
    kinds = tuple(strata)
    shuffles, shuffled = [], []
    for within in ((), *((kind,) for kind in kinds), *((kinds,) if len(kinds) > 1 else ())):
        of = _combined([strata[kind] for kind in within], len(right))
        shuffled.append(_each(x, count, _shuffle(right, of, rng)))
        shuffles.append(_permutations(within, right, of, observed, shuffled[-1]))
    return Classes(
        *counts,
        cosines=tuple(map(_estimate, observed, resampled.T)),  # type: ignore[arg-type]
        difference=_estimate(observed[2] - observed[0], e - a),
        rises=float(np.mean((a <= b) & (b <= e))),
        size=size,
        curve=tuple(map(_estimate, expected_dispersion(observed, size, k), expected_dispersion(resampled, size, k).T)),
        slices=drawn_slices(x, right, size),
        permutations=tuple(shuffles),
        monotone=_share_monotone(expected_dispersion(shuffled[0], size, k)),
        strata={kind: stratum_sums(x, right, labels) for kind, labels in strata.items()},
        resamples=count,
    )


def _each(x: NDArray[np.floating], count: int, draw: Draw) -> Floats:
    """[count, 3]: the mean cosines of each resample."""
    at_once = max(1, _BLOCK // max(x.shape))
    return np.concatenate([mean_cosines(x, *draw(min(at_once, count - i))) for i in range(0, count, at_once)])


def _bootstrap(right: Bools, rng: np.random.Generator) -> Draw:
    n = len(right)

    def draw(count: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        times = rng.multinomial(n, np.full(n, 1 / n), size=count)
        return times * right, times * ~right

    return draw


def _shuffle(right: Bools, strata: NDArray[np.int64], rng: np.random.Generator) -> Draw:
    places = np.argsort(strata, kind="stable")

    def draw(count: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        shuffled = np.empty((count, len(right)), dtype=bool)
        shuffled[:, places] = right[np.argsort(strata + rng.random(shuffled.shape), axis=1)]
        return shuffled, ~shuffled

    return draw


def _combined(labels: Sequence[Sequence[str]], n: int) -> NDArray[np.int64]:
    """[n]: a number for each combination of labels."""
    numbers: dict[tuple[str, ...], int] = {}
    rows = zip(*labels, strict=True) if labels else ((),) * n
    return np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=np.int64)


def _permutations(
    within: tuple[str, ...], right: Bools, of: NDArray[np.int64], observed: Floats, found: Floats
) -> Permutations:
    count = int(of.max()) + 1
    rights, all_of_it = np.bincount(of, right, count), np.bincount(of, minlength=count)
    moved = int(all_of_it[(rights > 0) & (rights < all_of_it)].sum())
    value, shuffled = observed[2] - observed[0], found[:, 2] - found[:, 0]
    beyond = min(int((shuffled >= value - _TIE).sum()), int((shuffled <= value + _TIE).sum()))
    # With the observed order among them (Phipson and Smyth 2010), so that no p is 0.
    p = min(1.0, 2 * (1 + beyond) / (1 + len(shuffled))) if moved else float("nan")
    return Permutations(within, count, moved, float(shuffled.mean()), p)


def _share_monotone(curves: Floats) -> float:
    """Of [R, levels]."""
    ranks, order = rankdata(curves, axis=1), np.arange(curves.shape[1], dtype=np.float64)
    spread, order = ranks - ranks.mean(1, keepdims=True), order - order.mean()
    with np.errstate(invalid="ignore"):
        spearman = spread @ order / np.sqrt((spread * spread).sum(1) * (order @ order))
    return float(np.mean(np.abs(spearman) >= HIGH_SPEARMAN))


def _estimate(value: float, resampled: Floats) -> Estimate:
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))
