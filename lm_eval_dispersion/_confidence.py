"""How sure a model is of its answer to a question with choices, from their log-likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import entr, softmax


def confidence(loglikelihoods: Sequence[float]) -> dict[str, float]:
    """``confidence``, ``margin`` and ``entropy`` (nats) of the softmax over at least one choice; NaN where undefined.

    Args:
        loglikelihoods: of each choice, or of each divided by its length.
    """
    with np.errstate(invalid="ignore"):
        p = softmax(np.asarray(loglikelihoods, dtype=np.float64))
    ordered = np.sort(p)
    margin = float(ordered[-1] - ordered[-2]) if len(p) > 1 else float("nan")
    return {"confidence": float(ordered[-1]), "margin": margin, "entropy": float(entr(p).sum())}
