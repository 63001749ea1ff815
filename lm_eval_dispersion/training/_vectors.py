"""What every objective is given: hidden vectors, which of them count, and what domain each is of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Vectors(NamedTuple):
    """The input of an objective, checked."""

    hidden: Tensor
    """[batch, n, d]."""
    owner: Tensor
    """[batch, n], int64: the domain of a vector, from 0; -1 where it does not count."""
    domains: int
    """How many there are; 1 for the single-domain objective."""
    cross: bool
    """Whether only pairs of two domains count."""


def vectors(hidden: Tensor, mask: Tensor | None, domains: Tensor | None) -> Vectors:
    """Checks an objective's arguments (``push_away`` describes them).

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """
    if hidden.ndim < 2 or not hidden.is_floating_point():
        raise ValueError(f"hidden must be floating point of shape [..., n, d], got {hidden.dtype} {list(hidden.shape)}")
    shape = hidden.shape[:-1]
    if mask is None:
        mask = torch.ones(shape, dtype=torch.bool, device=hidden.device)
    if mask.shape != shape or mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool of shape {list(shape)}, got {mask.dtype} {list(mask.shape)}")
    n, d = hidden.shape[-2:]
    mask, hidden = mask.reshape(-1, n), hidden.reshape(-1, n, d)
    if domains is None:
        return Vectors(hidden, torch.where(mask, 0, -1), 1, cross=False)
    _, index = torch.unique(by_vector(domains, shape), return_inverse=True)
    count = int(index.max()) + 1 if index.numel() else 1
    return Vectors(hidden, torch.where(mask, index.reshape(-1, n), -1), count, cross=True)


def by_vector(domains: Tensor, shape: torch.Size) -> Tensor:
    """Domains, one a vector; where they are given one a row of vectors, each for the whole row.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """
    if domains.is_floating_point() or domains.is_complex() or domains.shape not in (shape, shape[:-1]):
        raise ValueError(
            f"domains must be integers of shape {list(shape)}, or {list(shape[:-1])} for one a row, "
            f"got {domains.dtype} {list(domains.shape)}"
        )
    return domains if domains.shape == shape else domains.unsqueeze(-1).expand(shape)
