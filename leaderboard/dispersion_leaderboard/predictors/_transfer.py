"""Accuracy without labels from a model's confidence, by way of a benchmark with labels. Nothing is fitted.

Both take the model's own accuracy and confidence on a labelled source, and its confidence on the target: what it would
take to be right if confidence meant there what it means here. Neither knows that a target may have fewer choices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispersion_leaderboard.predictors._observations import Floats

_Quantiles = NDArray[np.floating[Any]]


def difference_of_confidences(source_accuracy: Floats, source_confidence: Floats, target_confidence: Floats) -> Floats:
    """DoC: the source's accuracy, less by how much less confident the model is on the target.

    Guillory, Shankar, Ebrahimi, Darrell and Schmidt, *Predicting with confidence on unseen distributions* (ICCV 2021),
    without their regression. What falls outside 0 to 1 is taken as 0 or 1.

    Args:
        source_accuracy: any shape, fractions.
        source_confidence: likewise, means.
        target_confidence: likewise.
    """
    return np.clip(source_accuracy - (source_confidence - target_confidence), 0.0, 1.0)


def average_thresholded_confidence(
    source_accuracy: float, source_quantiles: _Quantiles, target_quantiles: _Quantiles
) -> float:
    """ATC: the share of the target's confidences that reach the threshold which the source's accuracy sets.

    Garg, Balakrishnan, Lipton, Neyshabur and Sedghi, *Leveraging unlabeled data to predict out-of-distribution
    performance* (ICLR 2022), with the largest probability as score: the share of the source's confidences below the
    threshold is its share of wrong answers. From quantiles, between which it is interpolated: exact to a quantile.

    Args:
        source_accuracy: a fraction; NaN gives NaN.
        source_quantiles: [q] of the confidences over the source's documents, evenly from the least to the largest.
        target_quantiles: [q] likewise.
    """
    if not 0 <= source_accuracy <= 1:
        return float("nan")
    steps = len(source_quantiles) - 1
    threshold = float(np.interp((1 - source_accuracy) * steps, np.arange(steps + 1), source_quantiles))
    return 1.0 - _share_below(threshold, target_quantiles)


def _share_below(threshold: float, quantiles: _Quantiles) -> float:
    """Of documents; one that stands at the threshold is not below it."""
    after = int(np.searchsorted(quantiles, threshold, side="left"))
    if after in (0, len(quantiles)):
        return float(after > 0)
    low, high = float(quantiles[after - 1]), float(quantiles[after])
    return (after - 1 + (threshold - low) / (high - low)) / (len(quantiles) - 1)
