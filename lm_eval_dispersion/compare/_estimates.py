"""A ratio over documents, its standard error, and what may be concluded from it. Pure numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

LEVEL = 0.05
"""Two-sided: of tests, and what 95 % intervals leave out."""
POWER = 0.8
# Twice the documents a hundred times over is no advice.
_MANY = 1000


@dataclass(frozen=True)
class Estimate:
    """A number over documents."""

    value: float
    stderr: float | None
    """None for a single document."""
    documents: int


def ratio(sums: Floats, sizes: Floats) -> Estimate:
    """Sum of ``sums`` over sum of ``sizes``, with the delete-one jackknife's standard error over documents.

    The ratio estimator of a mean a unit (a byte, a window) where documents, which are what was drawn, have different
    sizes (Cochran 1977, *Sampling Techniques*, chapter 6; its jackknife: Efron and Stein 1981). Parts of one document
    are alike, so it is left out whole. The difference of two ratios of the same sizes is that of their differences.

    Args:
        sums: [documents]
        sizes: [documents], positive.

    Raises:
        ValueError: without a document.
    """
    n = len(sums)
    if not n:
        raise ValueError("no document")
    total, size = sums.sum(), sizes.sum()
    if n < 2:
        return Estimate(float(total / size), None, n)
    without = (total - sums) / (size - sizes)
    return Estimate(float(total / size), math.sqrt((n - 1) * float(without.var())), n)


def interval(found: Estimate, comparisons: int = 1) -> tuple[float, float] | None:
    """95 % interval by Student's t; of several comparisons simultaneous (Bonferroni). None for a single document."""
    if found.stderr is None:
        return None
    reach = float(stdtrit(found.documents - 1, 1 - LEVEL / 2 / comparisons)) * found.stderr
    return found.value - reach, found.value + reach


def p_value(found: Estimate) -> float | None:
    """Two-sided, of no difference, by Student's t; None for a single document."""
    if found.stderr is None:
        return None
    if not found.stderr:
        return 0.0 if found.value else 1.0
    return float(2 * stdtr(found.documents - 1, -abs(found.value) / found.stderr))


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted for their number (Holm 1979): the chance of one false difference or more among all is the level."""
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1, np.array(p, dtype=float)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(stepped)
    return [float(value) for value in adjusted]


def documents_needed(found: Estimate, comparisons: int = 1) -> int | None:
    """How many documents would tell a difference of this size from none with a power of 80 %, at two-sided 5 %.

    The smallest N with N >= (t(1 - a/2, N - 1) + t(.8, N - 1))^2 s^2 / d^2, where d is the difference, s^2 = n stderr^2
    its variance a document, and a = .05 / comparisons (Chow, Shao and Wang 2008, *Sample Size Calculations in Clinical
    Research*, section 3.1, there with normal quantiles; with t's it holds for few documents, too). It takes the
    difference seen for the true one, so it is an order of magnitude.

    Returns:
        At least two; None where there is no telling (one document, no difference), or it is more than 1,000 times
        the documents that there are.
    """
    if found.stderr is None or not found.value:
        return None
    scale = found.documents * (found.stderr / found.value) ** 2

    def enough(n: int) -> bool:
        quantiles = stdtrit(n - 1, 1 - LEVEL / 2 / comparisons) + stdtrit(n - 1, POWER)
        return bool(n >= float(quantiles) ** 2 * scale)

    low, high = 1, _MANY * found.documents
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
