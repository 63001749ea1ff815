"""The sums of unit vectors, by domain, with their gradient in closed form.

With u = h / ||h|| and S the sum of the u of one domain, a gradient g of S is that of each of its vectors:

    dL/dh = (g - u (u . g)) / ||h||

Written out, neither pass keeps a float32 copy of the hidden states, which autograd would keep three times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lm_eval_dispersion.geometry import unit_sums

# Elements of the float32 working copy at a time in the backward pass (16 MiB).
_BLOCK = 2**22


class _UnitSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, owner: Tensor, domains: int) -> tuple[Tensor, Tensor, Tensor]:
        # Autocast would make the products of the sums half precision.
        with torch.autocast(hidden.device.type, enabled=False):
            found = [unit_sums(hidden, owner == k) for k in range(domains)]
        ctx.save_for_backward(hidden, owner)
        count = torch.stack([s.count.sum() for s in found])
        nonfinite = torch.stack([s.nonfinite.sum() for s in found]).sum()
        ctx.mark_non_differentiable(count, nonfinite)
        return torch.stack([s.total.sum(0) for s in found]), count, nonfinite

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        hidden, owner = ctx.saved_tensors
        d = hidden.shape[-1]
        rows, owners = hidden.reshape(-1, d), owner.reshape(-1)
        found = torch.empty_like(rows)
        step = max(1, _BLOCK // d)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                x, whose = rows[part].to(gradient.dtype), owners[part]
                norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
                good = (whose >= 0).unsqueeze(-1) & torch.isfinite(norm) & (norm > 0)
                u, inverse = torch.where(good, x / norm, 0.0), torch.where(good, norm.reciprocal(), 0.0)
                g = gradient[whose.clamp(min=0)] if len(gradient) > 1 else gradient
                found[part] = ((g - u * (u * g).sum(-1, keepdim=True)) * inverse).to(found.dtype)
        return found.reshape(hidden.shape), None, None


def sums_by_domain(hidden: Tensor, owner: Tensor, domains: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sums the unit vectors of each domain.

    Args:
        hidden: [batch, n, d], any float dtype.
        owner: [batch, n], int64: the domain of a vector, from 0 to ``domains`` - 1; -1 where it does not count.
        domains: how many there are.

    Returns:
        [domains, d], float32 (float64 for float64 input), which has a gradient: the sums. [domains], int64: how many
        vectors each is of; zero and non-finite ones are left out. [], int64: how many were not finite.
    """
    found: tuple[Tensor, Tensor, Tensor] = _UnitSums.apply(hidden, owner, domains)  # type: ignore[no-untyped-call]
    return found
