"""The mean pairwise cosine distance of n vectors in O(n d), without the n x n matrix.

With unit vectors u_i and S = sum u_i, the sum of all n(n-1) ordered cosines is ||S||^2 - n, so

    D = 1 - (||S||^2 - n) / (n (n - 1))

which is the paper's mean pairwise cosine distance (arXiv 2506.24106) and equals
n / (n - 1) * (1 - R^2) for R the mean resultant length of directional statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

# Vectors that one product sums.
_AT_ONCE = 32
# Elements of the float32 working copy at a time (64 MiB): bounds the memory of a reduction, whatever the batch.
_BLOCK = 2**24


@dataclass(frozen=True)
class UnitSums:
    """What a set of vectors is reduced to; ``...`` are the leading dimensions of the input."""

    total: Tensor
    """[..., d], float32 (float64 for float64 input): sum of the unit vectors that count."""
    count: Tensor
    """[...], int64: how many vectors count."""
    zero: Tensor
    """[...], int64: vectors left out because their norm is zero, or too small for float32 (about 1e-23)."""
    nonfinite: Tensor
    """[...], int64: vectors left out because they hold NaN or infinity, or their norm overflows float32."""


def _checked(vectors: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    if vectors.ndim < 2 or not vectors.is_floating_point():
        raise ValueError(
            f"vectors must be floating point of shape [..., n, d], got {vectors.dtype} {list(vectors.shape)}"
        )
    if mask is None:
        return vectors, torch.ones(vectors.shape[:-1], dtype=torch.bool, device=vectors.device)
    if mask.shape != vectors.shape[:-1] or mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool of shape {list(vectors.shape[:-1])}, got {mask.dtype} {list(mask.shape)}")
    return vectors, mask


def unit_sums(vectors: Tensor, mask: Tensor | None = None) -> UnitSums:
    """Normalises and sums vectors, block by block.

    Args:
        vectors: [..., n, d], any float dtype; accumulated in float32 or wider.
        mask: [..., n], bool; True where a vector counts. All count when it is left out.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """
    vectors, mask = _checked(vectors, mask)
    leading, (n, d) = vectors.shape[:-2], vectors.shape[-2:]
    wide = torch.float64 if vectors.dtype == torch.float64 else torch.float32
    # The leading dimensions become one. This is a view for the contiguous states of a model.
    many = prod(leading)
    rows, row_mask = vectors.reshape(many, n, d), mask.reshape(many, n)
    total = torch.zeros(many, d, dtype=wide, device=vectors.device)
    counts = torch.zeros(3, many, dtype=torch.int64, device=vectors.device)
    few_rows, few_vectors = max(1, _BLOCK // max(1, n * d)), max(1, _BLOCK // max(1, d))
    for first in range(0, many, few_rows):
        block = slice(first, first + few_rows)
        for start in range(0, n, few_vectors):
            part = slice(start, start + few_vectors)
            wanted = row_mask[block, part]
            found, kinds = _sum_of_units(rows[block, part].to(wide), wanted)
            total[block] += found
            counts[:, block] += kinds.sum(-1)
    count, zero, nonfinite = (c.reshape(leading) for c in counts)
    return UnitSums(total.reshape(*leading, d), count, zero, nonfinite)


def _sum_of_units(x: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """[..., d]: the sum of the unit vectors that count; and [3, ..., n], bool: counts, zero, not finite."""
    norm = torch.linalg.vector_norm(x, dim=-1)
    finite = torch.isfinite(norm)
    good = wanted & finite & (norm > 0)
    # NaN times a weight of zero would still be NaN. On the CPU a look saves the copy where there is none;
    # elsewhere it would wait for the device.
    if x.device.type != "cpu" or not bool(finite.all()):
        x = torch.where(good.unsqueeze(-1), x, 0.0)
    weight = torch.where(good, norm.reciprocal(), 0.0)
    return weighted_sum(x, weight), torch.stack([good, wanted & (norm == 0), wanted & ~finite])


def weighted_sum(x: Tensor, weight: Tensor) -> Tensor:
    """[many, n, d] and [many, n] -> [many, d], float32 or wider: the weighted sum of vectors.

    A product reads the vectors once and copies none. It adds one after another, so it is taken over a few at a time:
    of 512 float32 vectors alike one product loses 2e-6 of D, products of 32 lose 1e-7, as summing them does. Other
    devices than a CPU may multiply in reduced precision, and so may this one where its user allows it; `capture`
    multiplies where it is known that they do not.
    """
    if x.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest":
        return (x * weight.unsqueeze(-1)).sum(-2)
    whole = x.shape[1] // _AT_ONCE * _AT_ONCE
    total = (weight[:, whole:].unsqueeze(1) @ x[:, whole:]).squeeze(1)
    if whole:
        many, _, d = x.shape
        weights = weight[:, :whole].reshape(many, -1, 1, _AT_ONCE)
        total += (weights @ x[:, :whole].reshape(many, -1, _AT_ONCE, d)).squeeze(2).sum(1)
    return total


def closed_form(squared_norm: Tensor, count: Tensor) -> Tensor:
    """D from ||S||^2 and n.

    Args:
        squared_norm: [...], ||S||^2 of the sum of unit vectors.
        count: [...], n.

    Returns:
        [...], float64, in [0, n / (n - 1)]; NaN where n < 2, which has no D. On the CPU for input from
        an MPS device, which has no float64.
    """
    if squared_norm.device.type == "mps":
        squared_norm, count = squared_norm.cpu(), count.cpu()
    n = count.to(torch.float64)
    pairs = n * (n - 1)
    d = 1 - (squared_norm.to(torch.float64) - n) / pairs
    # Both bounds are exact in real arithmetic (0 <= ||S|| <= n); only rounding crosses them.
    d = torch.minimum(d.clamp(min=0.0), n / (n - 1))
    return torch.where(n >= 2, d, torch.nan)


def dispersion(vectors: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean pairwise cosine distance among vectors (arXiv 2506.24106).

    Args:
        vectors: [..., n, d], any float dtype, on any device: n vectors of d components each.
        mask: [..., n], bool; True where a vector counts (padding is False). All count when it is left out.

    Returns:
        [...], float64: 0 for vectors of one direction, 1 for uncorrelated ones, at most n / (n - 1) (2 for
        an opposite pair). Zero and non-finite vectors are left out; NaN where fewer than two remain.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """
    sums = unit_sums(vectors, mask)
    return closed_form(sums.total.square().sum(-1), sums.count)
