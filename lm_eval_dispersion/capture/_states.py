"""Consecutive hidden states of one device, dtype and size, summed where they are over the same positions.

A span has two sets of positions: all of them, and the last alone. "sets" counts first the one kind, then the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm_eval_dispersion.capture._products import UnitProducts, multiplies
from lm_eval_dispersion.capture._sums import Owner
from lm_eval_dispersion.geometry import unit_sums


@dataclass(frozen=True)
class Span:
    """The positions that count in one row of a batch."""

    row: int
    start: int
    stop: int
    truncated: bool = False
    owners: tuple[Owner, ...] = ()


class States(Protocol):
    """Takes states one after another."""

    def add(self, x: Tensor) -> None:
        """The next layer's, [batch, width, d]."""
        ...

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """[layers, sets, d], sums of unit vectors; [layers, sets], how many count; likewise, how many are zero."""
        ...


def states_like(x: Tensor, spans: Sequence[Span]) -> States:
    """What sums states of the device, dtype and shape of ``x``."""
    return _Multiplied(spans, x) if multiplies(x) else _Summed(spans, x)


class _Multiplied:
    """By products of matrices, on a GPU several layers at once where they are small."""

    def __init__(self, spans: Sequence[Span], like: Tensor) -> None:
        rows = sorted({span.row for span in spans})
        place = {row: i for i, row in enumerate(rows)}
        taken = Counter[int]()
        width, most = like.shape[1], max(Counter(span.row for span in spans).values())
        members = np.zeros((len(rows), most, 2, width), dtype=bool)
        sets = np.arange(len(rows) * most * 2).reshape(len(rows), most, 2)
        order = np.zeros((2, len(spans)), dtype=np.int64)
        for i, span in enumerate(spans):
            here = place[span.row], taken[span.row]
            taken[span.row] += 1
            members[here][0, span.start : span.stop] = members[here][1, span.stop - 1] = True
            order[:, i] = sets[here]
        self._order = _sent(order.ravel(), like.device)
        self._rows = None if len(rows) == like.shape[0] else _sent(np.array(rows), like.device)
        self._products = UnitProducts(_sent(members.reshape(len(rows), -1, width), like.device))

    def add(self, x: Tensor) -> None:
        self._products.add(x if self._rows is None else x.index_select(0, self._rows))

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        total, count, zero = (found.flatten(1, 2).index_select(1, self._order) for found in self._products.sums())
        return total, count, zero


def _sent(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device, non_blocking=True)


class _Summed:
    """Vector by vector, layer by layer."""

    def __init__(self, spans: Sequence[Span], like: Tensor) -> None:
        low, high = min(s.start for s in spans), max(s.stop for s in spans)
        self._positions = slice(low, high)
        positions = torch.arange(low, high)
        starts = torch.tensor([s.start for s in spans]).unsqueeze(1)
        stops = torch.tensor([s.stop for s in spans]).unsqueeze(1)
        rows = [s.row for s in spans]
        self._everything = rows == list(range(like.shape[0]))
        self._mask = ((positions >= starts) & (positions < stops)).to(like.device)
        self._rows, self._last = torch.tensor(rows).to(like.device), (stops - 1 - low).to(like.device)
        self._layers: list[tuple[Tensor, ...]] = []

    def add(self, x: Tensor) -> None:
        x = x[:, self._positions]
        if not self._everything:
            x = x.index_select(0, self._rows)
        sums = unit_sums(x, self._mask)
        last = x.gather(1, self._last.unsqueeze(-1).expand(-1, 1, x.shape[-1])).squeeze(1).to(sums.total.dtype)
        self._layers.append((sums.total, sums.count, sums.zero, last))

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        total, count, zero, last = (torch.stack(column) for column in zip(*self._layers, strict=True))
        one = unit_sums(last.unsqueeze(-2))
        return torch.cat([total, one.total], 1), torch.cat([count, one.count], 1), torch.cat([zero, one.zero], 1)
