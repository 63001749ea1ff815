"""The percentile bootstrap's interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Share of the resamples in which a statistic must be defined.
_DEFINED = 0.95


def percentile_interval(value: float, resampled: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Its ends; NaN where the statistic is undefined, or was in more than 5 % of the resamples.

    An interval from the few resamples in which a statistic happens to be defined would flatter.

    Args:
        value: of the documents themselves.
        resampled: [resamples].
        level: 0.95 for an interval of 95 %.
    """
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or len(defined) < _DEFINED * len(resampled):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
