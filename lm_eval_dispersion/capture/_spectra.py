"""The signals of the Gram matrix of each span, at the layers that were asked for; null where they fail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm_eval_dispersion.capture._listen import logger
from lm_eval_dispersion.capture._protocol import AttributionError
from lm_eval_dispersion.capture._spans import Span
from lm_eval_dispersion.geometry import SIGNALS, spectrum

Floats = NDArray[np.float64]


class Spectra:
    """Of one forward pass. Of a span that comes by in several passes, its vectors wait for the last of them.

    Eigenvalues cannot be had without waiting for the device, so none of this is done unless it was asked for.
    """

    def __init__(self, spans: Sequence[Span], layers: Sequence[int]) -> None:
        self._spans, self._layers = spans, layers
        self._found: list[list[Floats]] = []

    def add(self, layer: int, state: Tensor) -> None:
        """A hidden state, [rows, width, d]; in the order of the layers."""
        if layer in self._layers:
            self._found.append([self._of(span, layer, state) for span in self._spans])

    def found(self) -> Floats:
        """[spans, signals, layers]; NaN where a signal is not defined, or not here yet."""
        if len(self._found) != len(self._layers):  # a pass that did not show them all
            return np.full((len(self._spans), len(SIGNALS), len(self._layers)), np.nan)
        return np.array(self._found).transpose(1, 2, 0)

    def _of(self, span: Span, layer: int, state: Tensor) -> Floats:
        try:
            vectors = state[span.row, span.start : span.stop]
            if span.of is not None:
                waiting = span.of.vectors.setdefault(layer, [])
                if not span.of.ended:
                    waiting.append(vectors.clone())
                    return np.full(len(SIGNALS), np.nan)
                vectors = torch.cat([*span.of.vectors.pop(layer), vectors])
                if len(vectors) != span.of.span.stop - span.of.span.start:
                    raise AttributionError(f"{len(vectors)} vectors of {span.of.span}")
            return spectrum(vectors).cpu().numpy()
        except Exception:  # of a solver, or for want of memory: not worth D
            logger.debug("no signals of a Gram matrix", exc_info=True)
            return np.full(len(SIGNALS), np.nan)
