"""Correlation of per-segment D with per-segment log-perplexity, by layer, with jackknife standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lm_eval_dispersion.geometry._jackknife import GROUPS, jackknife

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """All arrays are [layers]; NaN where undefined (fewer than 3 segments, or no variance)."""

    pearson: Floats
    pearson_stderr: Floats
    spearman: Floats
    spearman_stderr: Floats
    segments: NDArray[np.int64]
    """How many segments have both numbers."""


def correlate(dispersion: Floats, log_perplexity: Floats, documents: NDArray[np.int64]) -> Correlation:
    """Pearson and Spearman correlation over segments.

    Args:
        dispersion: [segments, layers], NaN where a segment has no D.
        log_perplexity: [segments], mean negative log-likelihood a token, in nats.
        documents: [segments], each segment's document; the standard error deletes 50 groups of documents
            in turn (delete-a-group jackknife), because segments of a document are not independent.
    """
    layers = dispersion.shape[1]
    out = np.full((4, layers), np.nan)
    count = np.zeros(layers, np.int64)
    for layer in range(layers):
        has = np.isfinite(dispersion[:, layer]) & np.isfinite(log_perplexity)
        x, y, group = dispersion[has, layer], log_perplexity[has], documents[has] % GROUPS
        count[layer] = has.sum()
        out[0, layer], out[2, layer] = _pearson(x, y), _spearman(x, y)
        present = np.unique(group)
        if len(present) >= 2:
            kept = [group != g for g in present]
            out[1, layer] = jackknife(np.array([_pearson(x[k], y[k]) for k in kept]))
            out[3, layer] = jackknife(np.array([_spearman(x[k], y[k]) for k in kept]))
    return Correlation(out[0], out[1], out[2], out[3], count)


def _pearson(x: Floats, y: Floats) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _spearman(x: Floats, y: Floats) -> float:
    return _pearson(rankdata(x), rankdata(y)) if len(x) else float("nan")
