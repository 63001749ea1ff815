"""G of a checkpoint: how widely its output projection spreads the tokens of a domain, and how far from everyday ones.

With unit rows u of the domain's n tokens T and v of the m general tokens, S = sum u and R = sum v,

    within(T)           = 1 - (|S|^2 - n) / (n (n - 1))     the mean of 1 - cos over pairs of T
    between(T, general) = 1 - S.R / (n m)                   the mean of 1 - cos over pairs of one of each
    G                   = within(T) + between(T, general)

as the paper defines it (arXiv 2506.24106), which does not publish its token sets. No matrix of pairs is made.
Everything is float64: the sums are of a few hundred rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def units(rows: ArrayLike) -> Floats:
    """[n, d] rows of norm 1.

    Raises:
        ValueError: for another shape, or a row that is zero or not finite and so has no direction.
    """
    x = np.asarray(rows, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"rows must be [n, d], got {list(x.shape)}")
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    if not (np.isfinite(norm) & (norm > 0)).all():
        raise ValueError("a row is zero or not finite, and has no direction")
    return np.asarray(x / norm)


def within(rows: ArrayLike) -> float:
    """The mean of 1 - cos over all pairs of [n, d] rows, n >= 2.

    Raises:
        ValueError: for fewer rows, or one without a direction.
    """
    u = units(rows)
    n = len(u)
    if n < 2:
        raise ValueError("one token has no pairs")
    return float(1 - (np.square(u.sum(0)).sum() - n) / (n * (n - 1)))


def between(rows: ArrayLike, others: ArrayLike) -> float:
    """The mean of 1 - cos over all pairs of one of [n, d] rows and one of [m, d] others.

    Raises:
        ValueError: where there is none of either, or a row without a direction.
    """
    u, v = units(rows), units(others)
    if not len(u) or not len(v):
        raise ValueError("no tokens have no pairs")
    return float(1 - u.mean(0) @ v.mean(0))


def gap(domain_rows: ArrayLike, general_rows: ArrayLike) -> float:
    """G = within(T) + between(T, general), in [0, 4]; about 2 where all rows are uncorrelated.

    Args:
        domain_rows: [n, d], the output projection's rows of the domain's tokens T, n >= 2, of any norm and float type.
        general_rows: [m, d], those of general tokens, none of which may be in T.

    Raises:
        ValueError: for another shape, or a row that is zero or not finite.
    """
    return within(domain_rows) + between(domain_rows, general_rows)


@dataclass(frozen=True)
class LeftOut:
    """G without each token in turn, for the standard error over tokens of G and of the difference of two."""

    domain: Floats
    """[n], without each token of T."""
    general: Floats
    """[m], without each general token."""

    @property
    def stderr(self) -> float:
        """The jackknife's (Efron and Stein 1981), of two independent samples: of T and of the general tokens.

        It says how far G moves with other tokens of the same kind.
        """
        return float(np.sqrt(sum((len(x) - 1) / len(x) * np.square(x - x.mean()).sum() for x in self._samples)))

    def minus(self, other: LeftOut) -> LeftOut:
        """Of the difference of two checkpoints' G over the same tokens in the same order."""
        return LeftOut(self.domain - other.domain, self.general - other.general)

    @property
    def _samples(self) -> tuple[Floats, Floats]:
        return self.domain, self.general


def left_out(domain_rows: ArrayLike, general_rows: ArrayLike) -> LeftOut:
    """G without each token in turn; arguments as of ``gap``, n >= 3 and m >= 2.

    Raises:
        ValueError: where there are too few tokens to leave one out.
    """
    u, v = units(domain_rows), units(general_rows)
    (n, m), S, R = (len(u), len(v)), u.sum(0), v.sum(0)
    if n < 3 or m < 2:
        raise ValueError("too few tokens to leave one out")
    whole = np.square(S).sum()
    inside = 1 - (whole - 2 * u @ S + 1 - (n - 1)) / ((n - 1) * (n - 2))
    domain = inside + 1 - (S @ R - u @ R) / ((n - 1) * m)
    general = 1 - (whole - n) / (n * (n - 1)) + 1 - (S @ R - v @ S) / (n * (m - 1))
    return LeftOut(domain, general)


def gaps(rows: ArrayLike, sets: Ids, general_rows: ArrayLike) -> Floats:
    """G of many sets of rows of one size against the same general tokens.

    Args:
        rows: [N, d], from which the sets are made.
        sets: [k, n], places in ``rows``, n >= 2, none twice in a set.
        general_rows: [m, d].

    Returns:
        [k]
    """
    u, v = units(rows), units(general_rows)
    k, n = sets.shape
    member = np.zeros((k, len(u)))
    np.put_along_axis(member, sets, 1.0, axis=1)
    S = member @ u
    return np.asarray(2 - (np.square(S).sum(1) - n) / (n * (n - 1)) - S @ v.mean(0) / n)
