"""Sums of unit vectors as matrix products, S = W X, where a device multiplies bfloat16 and adds in float32.

A row of W holds 1 / ||x|| at the vectors that are summed. X is read as it is, without a float32 copy. Each weight is
split into three bfloat16 numbers that make it up to the last bit: products are exact, and only float32 sums round.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Bytes of states held until they are multiplied at once: small ones cost more to start than to sum.
_HELD = 48 * 2**20
_PARTS = 3


def multiplies(x: Tensor) -> bool:
    """Whether sums of such vectors are best taken as products."""
    return x.dtype == torch.bfloat16 and x.device.type == "cuda" and _has_product()


@cache
def _has_product() -> bool:
    known = hasattr(torch.ops.aten.bmm, "dtype")
    return known and torch.version.cuda is not None and torch.cuda.get_device_capability() >= (8, 0)


class UnitProducts:
    """Sums the vectors of many states of one shape, [rows, n, d], over the same sets of positions."""

    def __init__(self, members: Tensor) -> None:
        """``members`` is [rows, sets, n], bool: which of a row's vectors each of its sets has."""
        self._members = members
        self._held: list[Tensor] = []
        self._done: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, x: Tensor) -> None:
        """Takes the next state, [rows, n, d], bfloat16; it may be read until it is multiplied with later ones."""
        held = len(self._held) * x.nbytes
        if self._held and held + x.nbytes > _HELD:
            self._multiply()
        self._held.append(x)
        if x.nbytes >= _HELD:
            self._multiply()

    def _multiply(self) -> None:
        x = torch.stack(self._held) if len(self._held) > 1 else self._held[0].unsqueeze(0)
        self._held.clear()
        states, rows, n, d = x.shape
        sets = self._members.shape[1]
        norm = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
        # 1 / norm of members; 0 of what is no member, is zero (x / 0) or is not finite (x / NaN, x / infinity).
        weight = torch.nan_to_num(self._members / norm.unsqueeze(-2), nan=0.0, posinf=0.0)
        parts = torch.empty(states, rows, _PARTS, sets, n, dtype=x.dtype, device=x.device)
        rest = weight
        for part in range(_PARTS - 1):
            parts[:, :, part] = rest
            rest = torch.sub(rest, parts[:, :, part])
        parts[:, :, -1] = rest
        # NaN times a weight of zero would still be NaN.
        finite = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0).reshape(-1, n, d)
        product = _product(parts.view(-1, _PARTS * sets, n), finite)
        self._done.append((product.view(states, rows, _PARTS, sets, d), weight, norm))

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """[states, rows, sets, d], float32, sums of unit vectors; [states, rows, sets], int64, how many; zero ones."""
        if self._held:
            self._multiply()
        product, weight, norm = (
            column[0] if len(column) == 1 else torch.cat(column) for column in zip(*self._done, strict=True)
        )
        zero = (norm == 0).unsqueeze(-2) & self._members
        return product.sum(2), weight.count_nonzero(-1), zero.sum(-1)


def _product(weights: Tensor, x: Tensor) -> Tensor:
    """[b, m, n] x [b, n, d], bfloat16, with a float32 result."""
    if x.device.type == "cuda":
        return torch.bmm(weights, x, out_dtype=torch.float32)
    return torch.bmm(weights.float(), x.float())
