"""Sums of unit vectors as matrix products, S = W X, where a device multiplies bfloat16 and adds in float32.

A row of W holds 1 / ||x|| at the vectors that are summed. X is read as it is, without a float32 copy. Each weight is
split into three bfloat16 numbers that make it up to the last bit, so that products are exact and only sums round.
Float32 is not summed so: of 512 float32 vectors alike a product on a CPU loses up to 8e-6 of D.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Bytes of states held until they are multiplied at once: small ones cost more to start than to sum.
_HELD = 48 * 2**20
# Vectors added up in one product of many: it adds one after another, and of thousands alike the sum would lose digits.
_BLOCK = 128


def multiplies(x: Tensor) -> bool:
    """Whether sums of such vectors are best taken as products: bfloat16, on a CUDA device that proves able to."""
    return x.dtype == torch.bfloat16 and x.device.type == "cuda" and _adds_in_float32(x.device)


@cache
def _adds_in_float32(device: torch.device) -> bool:
    """Asked once a device. PyTorch has this product since 2.8, for CUDA alone, and not all cards have bfloat16."""
    ones = torch.ones(1, 8, 257, dtype=torch.bfloat16, device=device)
    try:
        return bool((_product(ones, ones.mT) == 257).all())  # which bfloat16 rounds to 256
    except (RuntimeError, TypeError):
        return False


class UnitProducts:
    """Sums the vectors of many states of one shape, [rows, n, d], over the same sets of positions."""

    def __init__(self, members: Tensor) -> None:
        """``members`` is [rows, sets, n], bool: which of a row's vectors each of its sets has."""
        self._members = members
        self._held: list[Tensor] = []
        self._done: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, x: Tensor) -> None:
        """Takes the next state, [rows, n, d], bfloat16; it may be read until later ones are multiplied."""
        if self._held and (len(self._held) + 1) * x.nbytes > _HELD:
            self._multiply()
        self._held.append(x)
        if x.nbytes >= _HELD:
            self._multiply()

    def _multiply(self) -> None:
        x = torch.stack(self._held) if len(self._held) > 1 else self._held[0].unsqueeze(0)
        self._held.clear()
        norm = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
        # 1 / norm of members; 0 of what is no member, is zero (x / 0) or is not finite (x / NaN, x / infinity).
        weight = torch.nan_to_num(self._members / norm.unsqueeze(-2), nan=0.0, posinf=0.0)
        # NaN times a weight of zero would still be NaN. A look whether there is any would wait for the device.
        x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        parts = _split(weight)
        n = x.shape[2]
        size = n if n <= 4 * _BLOCK else _BLOCK
        blocks = torch.split(parts.flatten(2, 3).flatten(0, 1), size, 2), torch.split(x.flatten(0, 1), size, 1)
        products = [_product(*block) for block in zip(*blocks, strict=True)]
        product = products[0] if len(products) == 1 else torch.stack(products).sum(0)
        self._done.append((product.view(*parts.shape[:-1], -1), weight, norm))

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """[states, rows, sets, d], float32, sums of unit vectors; [states, rows, sets], int64, how many; zero ones."""
        if self._held:
            self._multiply()
        product, weight, norm = (
            column[0] if len(column) == 1 else torch.cat(column) for column in zip(*self._done, strict=True)
        )
        zero = (norm == 0).unsqueeze(-2) & self._members
        return product.sum(2), weight.count_nonzero(-1), zero.sum(-1)


def _split(weight: Tensor) -> Tensor:
    """[states, rows, sets, n], float32 -> [states, rows, 3, sets, n], bfloat16: three numbers that add up to each."""
    states, rows, *rest = weight.shape
    parts = torch.empty(states, rows, 3, *rest, dtype=torch.bfloat16, device=weight.device)
    high, middle, low = parts.unbind(2)
    left = weight - high.copy_(weight)
    torch.sub(left, middle.copy_(left), out=low)
    return parts


def _product(weights: Tensor, x: Tensor) -> Tensor:
    """[b, m, n] x [b, n, d], bfloat16, with a float32 result."""
    if x.device.type == "cuda":
        return torch.bmm(weights, x, out_dtype=torch.float32)
    return torch.bmm(weights.float(), x.float())
