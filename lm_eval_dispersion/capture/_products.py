"""Sums of unit vectors as matrix products, S = W X, where that adds in float32.

A row of W holds 1 / ||x|| at the vectors that are summed. X is read as it is, without a copy. On a CPU that is float32
(``geometry.weighted_sum``). On a CUDA device it is bfloat16: each weight is split into three bfloat16 numbers that make
it up to the last bit, so that products are exact and only sums round.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from lm_eval_dispersion.geometry import weighted_sum


def multiplies(x: Tensor) -> bool:
    """Whether sums of such vectors are best taken as products.

    That is float32 on a CPU, and bfloat16 on a CUDA device that proves able to.
    """
    if x.device.type == "cpu":
        return x.dtype == torch.float32
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
    """Sums the vectors of many states over the same positions."""

    def __init__(self, members: Tensor) -> None:
        """``members`` is [pieces, n], bool: the vectors of each piece that are summed; in bfloat16 n is 512 at most.

        A product adds one vector after another. Of thousands alike the sum would lose digits.
        """
        self._members = members
        self._norms: list[Tensor] = []

    def total(self, x: Tensor) -> Tensor:
        """[states, pieces, n, d], bfloat16 or float32 -> [states, pieces, d], float32: sums of unit vectors."""
        norm = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
        self._norms.append(norm)
        # 1 / norm of members; 0 of what is no member, is zero (x / 0) or is not finite (x / NaN, x / infinity).
        weight = torch.nan_to_num(self._members / norm, nan=0.0, posinf=0.0)
        # NaN times a weight of zero would still be NaN. A look whether there is any would wait for another device.
        if x.device.type != "cpu" or not bool(norm.isfinite().all()):
            x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        if x.dtype == torch.float32:
            return weighted_sum(x.flatten(0, 1), weight.flatten(0, 1)).view(*x.shape[:2], -1)
        product = _product(_split(weight).flatten(0, 1), x.flatten(0, 1))
        return product.view(*x.shape[:2], 3, -1).sum(2)

    def counts(self) -> tuple[Tensor, Tensor]:
        """[states, pieces] each, of all states so far: how many vectors were summed; how many are zero."""
        norm = torch.cat(self._norms)
        counted = self._members & (norm > 0) & norm.isfinite()
        return counted.sum(-1), (self._members & (norm == 0)).sum(-1)


def _split(weight: Tensor) -> Tensor:
    """[states, pieces, n], float32 -> [states, pieces, 3, n], bfloat16: three numbers that add up to each."""
    states, pieces, n = weight.shape
    parts = torch.empty(states, pieces, 3, n, dtype=torch.bfloat16, device=weight.device)
    high, middle, low = parts.unbind(2)
    left = weight - high.copy_(weight)
    torch.sub(left, middle.copy_(left), out=low)
    return parts


def _product(weights: Tensor, x: Tensor) -> Tensor:
    """[b, m, n] x [b, n, d], bfloat16, with a float32 result."""
    if x.device.type == "cuda":
        return torch.bmm(weights, x, out_dtype=torch.float32)
    return torch.bmm(weights.float(), x.float())
