"""Counts of pairs, and the sums of their cosines, from sums of unit vectors.

Over ordered pairs of n vectors, with S their sum: n (n - 1) pairs, ||S||^2 - n of cosines. Over pairs of different
domains, with S_k the sums of each: (sum n_k)^2 - sum n_k^2 pairs, ||sum S_k||^2 - sum ||S_k||^2 of cosines.
"""

from __future__ import annotations

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """In float64, where the device has it: n^2 of a million vectors is beyond float32."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def pair_count(count: Tensor, cross: bool) -> Tensor:
    """[], float64: how many ordered pairs there are.

    Args:
        count: [domains]: vectors of each domain; of one, where not ``cross``.
        cross: whether only pairs of different domains count.
    """
    n = wide(count)
    return n.sum().square() - n.square().sum() if cross else (n * (n - 1)).sum()


def pair_cosines(sums: Tensor, count: Tensor, cross: bool) -> Tensor:
    """[], float64, with a gradient: the sum of the cosines of these pairs.

    Args:
        sums: [domains, d]: the sums of their unit vectors.
        count: [domains]: of how many.
        cross: whether only pairs of different domains count.
    """
    s = wide(sums)
    return s.sum(0).square().sum() - s.square().sum() if cross else s.square().sum() - wide(count).sum()


def cosines_gradient(sums: Tensor, cross: bool) -> Tensor:
    """[domains, d]: the gradient of ``pair_cosines`` for the sums. Linear in them."""
    return 2 * (sums.sum(0) - sums) if cross else 2 * sums
