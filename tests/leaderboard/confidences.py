"""What the literature does with confidences document by document, to hold against what is told from their quantiles."""

from __future__ import annotations

import numpy as np


def atc(accuracy: float, source: np.ndarray, target: np.ndarray) -> float:
    """As Garg et al. say it: the threshold below which lie as many of the source as the model gets wrong."""
    wrong = round((1 - accuracy) * len(source))
    threshold = np.sort(source)[wrong] if wrong < len(source) else np.inf
    return float((target >= threshold).mean())
