"""Sign flips of whole families: the randomness behind every p-value here.

With few families there are few of them, and p cannot be less than one over their number: that least p is stated beside
each p, since "not significant" means little where nothing could have been.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dispersion_leaderboard.predictors._observations import Floats

_SEED = 0
_ALL_UP_TO = 12


@lru_cache(maxsize=8)
def flips(families: int, draws: int) -> Floats:
    """[flips, families] of signs, the first all +1: all 2^families up to 12 families, ``draws`` at random beyond."""
    if families <= _ALL_UP_TO:
        signs = 1.0 - 2.0 * (np.arange(2**families)[:, None] >> np.arange(families) & 1)
    else:
        signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], size=(draws, families))
        signs[0] = 1
    signs.setflags(write=False)
    return np.asarray(signs)


def p_value(observed: float, flipped: Floats) -> float:
    """Share of flips as large as what was observed, which is one of them; an undefined one counts as large."""
    return float(np.mean(~(flipped < observed - 1e-9 * max(1.0, abs(observed)))))


def gain_p(loss_differences: Floats, chosen: int) -> float:
    """Whether a predictor's losses are lower than its baseline's, corrected for all that it was chosen from.

    Under the null a family's difference is as likely to be of either sign. The largest studentised statistic over all
    predictors, flipped together, is what the chosen one is held against (Westfall and Young 1993, single step).

    Args:
        loss_differences: [families, predictors] sums of loss less the baseline's; 0 where a family was not predicted.
        chosen: which predictor.
    """
    norm = np.sqrt((loss_differences**2).sum(0))
    statistics = -flips(len(loss_differences), 10_000) @ (loss_differences / np.where(norm > 0, norm, 1))
    return p_value(float(statistics[0, chosen]), statistics.max(1))


def least_gain_p(families: int) -> float:
    """The least that :func:`gain_p` can give."""
    return 1 / len(flips(families, 10_000))
