"""Consecutive hidden states of one device, dtype and shape, summed where they are over the same spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lm_eval_dispersion.capture._device import sent
from lm_eval_dispersion.capture._products import UnitProducts, multiplies
from lm_eval_dispersion.capture._spans import Span
from lm_eval_dispersion.geometry import unit_sums

# Bytes of states held until they are multiplied at once: small ones cost more to start than to sum.
_HELD = 48 * 2**20
# Positions that one product sums, at most; and those of a piece where positions are gathered, the most first.
_WIDEST, _PIECES = 512, (64, 32, 16, 8)


class Summed(NamedTuple):
    """Over some positions of each span."""

    total: Tensor
    """[layers, spans, d]: sums of unit vectors."""
    counted: Tensor
    """[layers, spans]: how many vectors these are of."""
    zero: Tensor
    """[layers, spans]: how many more are zero."""


class States:
    """Takes one state after another, each [rows, width, d]."""

    def __init__(self, spans: Sequence[Span], like: Tensor) -> None:
        products = multiplies(like)
        # Small states are held, and wide ones cut, where bfloat16 is multiplied, which is on a GPU.
        narrow = products and like.dtype == torch.bfloat16
        self._pieces = _Pieces(spans, like, _WIDEST if narrow else like.shape[1])
        members = self._pieces.members
        self._sums: UnitProducts | _UnitSums = UnitProducts(members) if products else _UnitSums(members)
        self._at_once = _HELD if narrow else 0
        self._held: list[Tensor] = []
        self._totals: list[Tensor] = []
        self._lasts: list[Tensor] = []

    def add(self, x: Tensor) -> None:
        """The next layer's; it may be read until ``sums``."""
        self._held.append(self._pieces.of(x))
        if (len(self._held) + 1) * self._held[0].nbytes > self._at_once:
            self._sum()

    def sums(self) -> tuple[Summed, Summed]:
        """Over all positions of each span, and over its last one alone."""
        if self._held:
            self._sum()
        count, zero = (self._pieces.joined(few) for few in self._sums.counts())
        last = unit_sums(torch.cat(self._lasts).unsqueeze(-2))
        return Summed(torch.cat(self._totals), count, zero), Summed(last.total, last.count, last.zero)

    def _sum(self) -> None:
        x = torch.stack(self._held) if len(self._held) > 1 else self._held[0].unsqueeze(0)
        self._held.clear()
        piece, place = self._pieces.last
        self._lasts.append(x[:, piece, place])
        self._totals.append(self._pieces.joined(self._sums.total(x)))


class _UnitSums:
    """What ``UnitProducts`` does, vector by vector: for any device and dtype."""

    def __init__(self, members: Tensor) -> None:
        self._members = members
        self._counts: list[tuple[Tensor, Tensor]] = []

    def total(self, x: Tensor) -> Tensor:
        sums = unit_sums(x, self._members.expand(x.shape[:-1]))
        self._counts.append((sums.count, sums.zero))
        return sums.total

    def counts(self) -> tuple[Tensor, Tensor]:
        count, zero = (torch.cat(column) for column in zip(*self._counts, strict=True))
        return count, zero


class _Pieces:
    """Where the vectors of spans lie in states of one shape: in pieces of n positions, each of one span.

    Where each row has one span, rows are the pieces. Of any other batch, as vLLM's, which is one row of many prompts,
    the spans' positions are gathered, up to 64 a piece, and few others are read.
    """

    def __init__(self, spans: Sequence[Span], like: Tensor, widest: int) -> None:
        rows, width, _ = like.shape
        # Both ends at multiples of eight, where the batch has them: a GPU multiplies such rows faster.
        low = min(span.start for span in spans) // 8 * 8
        high = min(-(-max(span.stop for span in spans) // 8) * 8, width)
        gathers = [span.row for span in spans] != list(range(rows)) or high - low > widest
        self._n = _size([span.stop - span.start for span in spans]) if gathers else high - low
        table: list[tuple[int, int, int, int, int]] = []
        last: list[tuple[int, int]] = []
        for i, span in enumerate(spans):
            firsts = range(span.start, span.stop, self._n) if gathers else (low,)
            table += [(i, span.row, first, span.start, span.stop) for first in firsts]
            last.append((len(table) - 1, span.stop - 1 - table[-1][2]))
        self._spans, self._columns = len(spans), slice(low, high)
        self._span, row, first, start, stop = _sent(table, like.device)
        position = first.unsqueeze(1) + torch.arange(self._n, device=like.device)
        self.members = (position >= start.unsqueeze(1)) & (position < stop.unsqueeze(1))
        """[pieces, n]: which of the positions are the span's."""
        self.last = _sent(last, like.device)
        """[2, spans]: the piece with a span's last position, and where in it."""
        self._at: Tensor | None = None
        if gathers:  # the last piece may go beyond the batch
            self._at = (row.unsqueeze(1) * width + position).clamp(max=rows * width - 1).flatten()

    def of(self, x: Tensor) -> Tensor:
        """[rows, width, d] -> [pieces, n, d]."""
        if self._at is None:
            return x[:, self._columns]
        return x.flatten(0, 1).index_select(0, self._at).view(-1, self._n, x.shape[-1])

    def joined(self, found: Tensor) -> Tensor:
        """Sums over pieces to sums over spans: [states, pieces, ...] -> [states, spans, ...]."""
        if self._at is None:
            return found
        # In float64: the many pieces of a long span lose no digits, in whatever order a GPU adds them.
        wide = found.double() if found.is_floating_point() and found.device.type != "mps" else found
        joined = wide.new_zeros(found.shape[0], self._spans, *found.shape[2:])
        return joined.index_add_(1, self._span, wide).to(found.dtype)


def _size(lengths: Sequence[int]) -> int:
    """Of pieces: the largest of which a quarter at most is beyond the spans, which may be many and short."""
    most = 1.25 * sum(lengths)
    return next((n for n in _PIECES if sum(-(-length // n) * n for length in lengths) <= most), _PIECES[-1])


def _sent(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """[rows, columns] -> [columns, rows] on a device, without waiting for it."""
    return sent(torch.tensor(rows).T.contiguous(), device)
