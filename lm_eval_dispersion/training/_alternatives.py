"""Other losses that spread vectors, with ``push_away``'s arguments.

All but ``mean_cosine`` compute the n x n matrix of the vectors that count, in float32: 64 MiB for 4,096 of them, a few
times over. With domains, a pair is of two different ones, as for ``push_away``. Zero and non-finite vectors are left
out; without a pair each is zero, with a gradient of zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lm_eval_dispersion.training._pairs import pair_cosines, pair_count, wide
from lm_eval_dispersion.training._unit_sums import sums_by_domain
from lm_eval_dispersion.training._vectors import vectors


def _vectors_and_pairs(hidden: Tensor, mask: Tensor | None, domains: Tensor | None) -> tuple[Tensor, Tensor]:
    """[n, d], float32 or wider: the vectors that count; [n, n], bool: which pairs of them do."""
    given = vectors(hidden, mask, domains)
    rows, owner = given.hidden.flatten(0, 1), given.owner.flatten()
    norm = torch.linalg.vector_norm(rows.detach().to(torch.promote_types(rows.dtype, torch.float32)), dim=-1)
    counts = (owner >= 0) & torch.isfinite(norm) & (norm > 0)
    x, owner = rows[counts], owner[counts]
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if given.cross:
        return x, owner.unsqueeze(0) != owner.unsqueeze(1)
    return x, ~torch.eye(len(x), dtype=torch.bool, device=x.device)


def _over_pairs(
    loss: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, mask: Tensor | None, domains: Tensor | None
) -> Tensor:
    """A loss of the vectors that count and of which pairs of them do; zero without a pair."""
    with torch.autocast(hidden.device.type, enabled=False):
        x, pairs = _vectors_and_pairs(hidden, mask, domains)
        return loss(x, pairs) if bool(pairs.any()) else x.sum() * 0


def _squared_distances(x: Tensor) -> Tensor:
    """[n, n] of [n, d]."""
    square = x.square().sum(-1)
    return (square.unsqueeze(0) + square.unsqueeze(1) - 2 * x @ x.T).clamp(min=0)


def _unit(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _log_mean_exp(x: Tensor, pairs: Tensor) -> Tensor:
    chosen = torch.where(pairs, x, -torch.inf)
    return torch.logsumexp(chosen.flatten(), 0) - math.log(int(pairs.sum()))


def mean_cosine(hidden: Tensor, mask: Tensor | None = None, domains: Tensor | None = None) -> Tensor:
    """The mean cosine over all n^2 pairs, those of a vector with itself counted as 0 (Gao et al. 2019).

    "Representation degeneration problem in training natural language generation models", arXiv 1907.12009, where it is
    a loss of the embeddings. Its gradient is ``push_away``'s times (n - 1) / n, or the part of all pairs that are of
    two domains. O(n d).

    Args:
        hidden: [..., n, d].
        mask: [..., n], bool.
        domains: [..., n] or [...], integers.

    Returns:
        [], float32 or wider.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """
    given = vectors(hidden, mask, domains)
    sums, count, _ = sums_by_domain(given.hidden, given.owner, given.domains)
    mean = pair_cosines(sums, count, given.cross) / wide(count).sum().square().clamp(min=1)
    return torch.where(pair_count(count, given.cross) > 0, mean, 0.0).to(sums.dtype)


def dispersive(hidden: Tensor, mask: Tensor | None = None, domains: Tensor | None = None) -> Tensor:
    """Dispersive loss: log mean exp(-||h_i - h_j||^2 / d) (Wang and He 2025, arXiv 2506.09027).

    Their variant of InfoNCE with l2 distances as they released it (github.com/raywang4/DispLoss): vectors are not
    normalised, and each one's pair with itself counts. With domains these pairs do not count.

    Args:
        hidden: [..., n, d].
        mask: [..., n], bool.
        domains: [..., n] or [...], integers.

    Returns:
        [], float32 or wider, at most 0.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """

    def loss(x: Tensor, pairs: Tensor) -> Tensor:
        pairs = torch.ones_like(pairs) if domains is None else pairs
        return _log_mean_exp(-_squared_distances(x) / x.shape[-1], pairs)

    return _over_pairs(loss, hidden, mask, domains)


def uniformity(hidden: Tensor, mask: Tensor | None = None, domains: Tensor | None = None) -> Tensor:
    """Uniformity on the sphere: log mean exp(-2 ||u_i - u_j||^2) (Wang and Isola 2020, arXiv 2005.10242).

    Args:
        hidden: [..., n, d].
        mask: [..., n], bool.
        domains: [..., n] or [...], integers.

    Returns:
        [], float32 or wider, from -8 to 0.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """

    def loss(x: Tensor, pairs: Tensor) -> Tensor:
        u = _unit(x)
        return _log_mean_exp(4 * (u @ u.T) - 4, pairs)

    return _over_pairs(loss, hidden, mask, domains)


def koleo(hidden: Tensor, mask: Tensor | None = None, domains: Tensor | None = None) -> Tensor:
    """Minus the mean log distance to the nearest neighbour (Sablayrolles et al. 2019, arXiv 1806.03198).

    On unit vectors, with 1e-8 added to each distance, as DINOv2 uses it (arXiv 2304.07193). Vectors that are alike, as
    those of one first token, have no gradient from each other. With domains, the nearest of another one.

    Args:
        hidden: [..., n, d].
        mask: [..., n], bool.
        domains: [..., n] or [...], integers.

    Returns:
        [], float32 or wider.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """

    def loss(x: Tensor, pairs: Tensor) -> Tensor:
        u = _unit(x)
        with torch.no_grad():
            nearest = torch.where(pairs, u @ u.T, -torch.inf).argmax(-1)
        distance = torch.linalg.vector_norm(u - u[nearest], dim=-1)
        return -torch.log(distance + 1e-8).mean()

    return _over_pairs(loss, hidden, mask, domains)
