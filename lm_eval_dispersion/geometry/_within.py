"""The mean over segments of D inside a segment, with its standard error clustered by document.

Segments of one document are not independent, so the standard error is the cluster-robust one of a mean
(Liang and Zeger 1986): with S_d and m_d the sum and the number of a document's values, M = sum m_d, G
documents and mean mu = sum S_d / M,

    var = G / (G - 1) * sum_d (S_d - mu m_d)^2 / M^2
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Within:
    """Streaming and mergeable; holds six numbers a layer, however many segments it has seen."""

    def __init__(self, layers: int) -> None:
        # documents, M, sum S, sum S^2, sum S m, sum m^2; each [layers]
        self._moments: Floats = np.zeros((6, layers))

    def add(self, document: Floats) -> None:
        """Adds one document, whole: [segments, layers] values of D; NaN where a segment has none."""
        values = np.atleast_2d(np.asarray(document, dtype=np.float64))
        has = np.isfinite(values)
        m, s = has.sum(0).astype(np.float64), np.where(has, values, 0.0).sum(0)
        self._moments += np.stack([m > 0, m, s, s * s, s * m, m * m])

    def merge(self, other: Within) -> None:
        """Adds what another accumulator has seen; no document may stand in both."""
        self._moments += other._moments

    @property
    def segments(self) -> NDArray[np.int64]:
        """[layers]: how many values each layer's mean is over."""
        return self._moments[1].astype(np.int64)

    @property
    def mean(self) -> Floats:
        """[layers]; NaN where there is no value."""
        with np.errstate(invalid="ignore"):
            return self._moments[2] / self._moments[1]

    @property
    def stderr(self) -> Floats:
        """[layers]; NaN where fewer than two documents have a value."""
        g, m, _, ss, sm, mm = self._moments
        mu = self.mean
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = g / (g - 1) * np.maximum(ss - 2 * mu * sm + mu * mu * mm, 0.0) / (m * m)
            return np.where(g >= 2, np.sqrt(variance), np.nan)
