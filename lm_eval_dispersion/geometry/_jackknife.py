"""The delete-a-group jackknife: the standard error of what is no mean, over groups of documents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A document belongs to the group of its number modulo this: the same in whatever order or process it comes.
GROUPS = 50


def jackknife(deleted: NDArray[np.float64]) -> float:
    """Standard error from a statistic's values with each of at least two groups left out in turn."""
    k = len(deleted)
    return float(np.sqrt((k - 1) / k * ((deleted - deleted.mean()) ** 2).sum()))
