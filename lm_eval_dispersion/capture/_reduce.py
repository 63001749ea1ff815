"""Reduces the hidden states of one forward pass, row by row, to what ``Reduced`` holds and to its owners' sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lm_eval_dispersion.capture._protocol import AttributionError, Reduced
from lm_eval_dispersion.capture._sums import Owner, add_segments, stacked
from lm_eval_dispersion.geometry import closed_form, unit_sums


@dataclass(frozen=True)
class Span:
    """The positions that count in one row of a batch."""

    row: int
    start: int
    stop: int
    truncated: bool = False
    owners: tuple[Owner, ...] = ()


class Reduction:
    """Takes h[0], h[1], ... of one forward pass; the states are dropped as soon as they are summed."""

    def __init__(self, spans: list[Span], batch: int, width: int, totals: bool) -> None:
        """Args are: what to reduce, the input's shape [batch, width], and whether all vectors are summed."""
        self._spans, self._shape, self._totals = spans, (batch, width), totals
        self._low, self._high = min(s.start for s in spans), max(s.stop for s in spans)
        positions = torch.arange(self._low, self._high)
        starts = torch.tensor([s.start for s in spans]).unsqueeze(1)
        stops = torch.tensor([s.stop for s in spans]).unsqueeze(1)
        self._indices = {
            torch.device("cpu"): (
                (positions >= starts) & (positions < stops),
                torch.tensor([s.row for s in spans]),
                stops - 1 - self._low,
            )
        }
        self._everything = [s.row for s in spans] == list(range(batch))
        self._layers: list[tuple[Tensor, ...]] = []

    def add(self, layer: int, state: Tensor) -> None:
        """One hidden state, [batch, width, d]."""
        batch, width = self._shape
        # A PEFT prompt puts virtual tokens in front of the input's own.
        virtual = state.shape[1] - width
        if virtual < 0 or state.shape[0] != batch or layer != len(self._layers):
            raise AttributionError(
                f"hidden state {layer} has shape {list(state.shape)} for an input of {batch} rows x {width} tokens"
            )
        mask, rows, last_position = self._on(state.device)
        x = state.detach()[:, virtual + self._low : virtual + self._high]
        if not self._everything:
            x = x.index_select(0, rows)
        sums = unit_sums(x, mask)
        last = x.gather(1, last_position.unsqueeze(-1).expand(-1, 1, x.shape[-1])).squeeze(1).to(sums.total.dtype)
        total = (sums.total,) if self._totals else ()
        square = sums.total.square().sum(-1)
        self._layers.append((square, sums.count, sums.zero, sums.nonfinite, last, *total))

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Mask, rows and last positions, copied once to each device that holds layers."""
        if device not in self._indices:
            mask, rows, last = self._indices[torch.device("cpu")]
            self._indices[device] = (mask.to(device), rows.to(device), last.to(device))
        return self._indices[device]

    def finish(self) -> list[tuple[Span, Reduced]]:
        """One result a span, its vectors added to the sums of its owners; the only transfer from the device.

        Raises:
            AttributionError: where a span's vectors do not add up to the number it must have.
        """
        columns = [stacked([x.cpu() for x in column]) for column in zip(*self._layers, strict=True)]
        d = closed_form(columns[0], columns[1]).numpy()
        count, zero, nonfinite = (column.numpy() for column in columns[1:4])
        results = []
        for i, span in enumerate(self._spans):
            must = span.stop - span.start
            if not np.array_equal(count[i] + zero[i] + nonfinite[i], np.full(count.shape[1], must)):
                raise AttributionError(f"a row of {must} vectors was reduced to {count[i].tolist()}")
            results.append((span, Reduced(d[i], must, zero[i], nonfinite[i], span.truncated)))
        add_segments([s.owners for s in self._spans], columns[4], columns[5] if self._totals else None, columns[1])
        return results
