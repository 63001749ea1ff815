"""Which rows training has never touched: they say nothing of a checkpoint, and are left out.

Tokenizers hold tokens that no training text had. Their rows stay as they began, shrink by weight decay, or are pushed
all alike, for a softmax pushes what never comes in one direction (Land and Bartolo 2024, arXiv 2405.05417).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.screen._dtypes import Float32

Bools = NDArray[np.bool_]

ALIKE = 0.98
"""Cosine to a row of another token from which on two rows are one."""
_SMALL = 0.5
"""Share of the median norm below which a norm is small, if it is an outlier, too."""
_OUTLYING = 5.0
"""Robust standard deviations of the logarithm of the norm."""
_BLOCK = 1024


def trained(rows: Float32, compared: NDArray[np.int64]) -> Bools:
    """Which rows count.

    A row does not where it is zero or not finite, where its norm is below half the median and an outlier, or where its
    direction is that of another token's row.

    Args:
        rows: [n, d] of different tokens, padding rows among them.
        compared: places in ``rows`` of a random sample of all tokens, and of padding rows.

    Returns:
        [n]
    """
    norm = np.linalg.norm(rows.astype(np.float64), axis=1)
    good = np.isfinite(norm) & (norm > 0)
    typical = np.log(norm[compared][good[compared]])
    if len(typical):
        middle = np.median(typical)
        spread = 1.4826 * np.median(np.abs(typical - middle))
        with np.errstate(divide="ignore"):
            log = np.where(good, np.log(norm, where=good, out=np.zeros_like(norm)), -np.inf)
        good &= log >= middle + min(np.log(_SMALL), -_OUTLYING * spread)
    return good & ~_alike(rows, norm, compared)


def _alike(rows: Float32, norm: NDArray[np.float64], compared: NDArray[np.int64]) -> Bools:
    has = np.isfinite(norm) & (norm > 0)
    scale = np.where(has, 1 / np.where(has, norm, 1), 0)
    others = _units(rows[compared], scale[compared])
    found = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), _BLOCK):
        at = np.arange(start, min(start + _BLOCK, len(rows)))
        cosine = _units(rows[at], scale[at]) @ others.T
        cosine[at[:, None] == compared[None, :]] = 0  # itself
        found[at] = (cosine >= ALIKE).any(axis=1)
    return found


def _units(rows: Float32, scale: NDArray[np.float64]) -> Float32:
    """Zero where there is no direction."""
    with np.errstate(all="ignore"):
        return np.where(scale[:, None] > 0, rows * scale[:, None], 0).astype(np.float32)
