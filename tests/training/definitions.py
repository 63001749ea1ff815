"""The objectives by their definitions, in float64 over the n x n matrix, for autograd to differentiate."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def pairs(mask: Tensor, domains: Tensor | None) -> Tensor:
    """[n, n]: which ordered pairs count."""
    both = mask.unsqueeze(0) & mask.unsqueeze(1)
    if domains is None:
        return both & ~torch.eye(len(mask), dtype=torch.bool)
    return both & (domains.unsqueeze(0) != domains.unsqueeze(1))


def cosines(hidden: Tensor) -> Tensor:
    u = hidden / hidden.norm(dim=-1, keepdim=True)
    return u @ u.T


def push_away(hidden: Tensor, mask: Tensor, domains: Tensor | None) -> Tensor:
    return -(1 - cosines(hidden))[pairs(mask, domains)].mean()


def mean_cosine(hidden: Tensor, mask: Tensor, domains: Tensor | None) -> Tensor:
    return cosines(hidden)[pairs(mask, domains)].sum() / mask.sum() ** 2


def squared_distances(x: Tensor) -> Tensor:
    return (x.unsqueeze(0) - x.unsqueeze(1)).square().sum(-1)


def dispersive(hidden: Tensor, mask: Tensor, domains: Tensor | None) -> Tensor:
    counted = pairs(mask, domains)
    if domains is None:
        counted = counted | torch.diag(mask)
    exponents = (-squared_distances(hidden) / hidden.shape[-1])[counted]
    return exponents.logsumexp(0) - math.log(len(exponents))


def uniformity(hidden: Tensor, mask: Tensor, domains: Tensor | None) -> Tensor:
    u = hidden / hidden.norm(dim=-1, keepdim=True)
    return (-2 * squared_distances(u)).exp()[pairs(mask, domains)].mean().log()


def koleo(hidden: Tensor, mask: Tensor, domains: Tensor | None) -> Tensor:
    u, counted = hidden / hidden.norm(dim=-1, keepdim=True), pairs(mask, domains)
    apart = torch.where(counted, (squared_distances(u) + torch.eye(len(u))).sqrt(), torch.inf)
    return -(apart[mask].min(-1).values + 1e-8).log().mean()
