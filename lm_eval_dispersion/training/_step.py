"""The push-away of one optimizer step, which comes in micro-batches and on several processes.

The objective is that of all vectors of the step taken together. Its sums are sums over micro-batches and processes, so
each micro-batch k adds the pairs among its vectors and those with the vectors before it:

    C(S_1 + ... + S_k) - C(S_1 + ... + S_{k-1})

with C the sum of cosines. Over the step this is the value of one large batch. So is the gradient over processes. Over
micro-batches it cannot be, for those before k have been through their backward pass; a pair of k and an earlier vector
moves k alone, by twice as much. Over the orders in which the same micro-batches may come that is the gradient of one
large batch on average.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lm_eval_dispersion.geometry import closed_form
from lm_eval_dispersion.training._pairs import cosines_gradient, pair_cosines, pair_count, wide

Reduce = Callable[[Tensor], Tensor]
"""The sum of a tensor over all processes, on each of them."""


class Step:
    """What has been seen of one optimizer step."""

    def __init__(self, totals: Tensor, cross: bool, reduce: Reduce, processes: int) -> None:
        """``totals``: [domains], how many vectors of each will count, in all micro-batches and processes."""
        self._totals, self._cross, self._reduce, self._processes = totals, cross, reduce, processes
        self._pairs = pair_count(totals, cross)
        self._sums: Tensor | None = None
        self._count = torch.zeros_like(totals)
        self._value = torch.zeros_like(self._pairs)
        self.nonfinite = torch.zeros_like(self._pairs)

    @property
    def domains(self) -> int:
        """How many there are."""
        return len(self._totals)

    def add(self, sums: Tensor, count: Tensor, nonfinite: Tensor, loss: Tensor | None = None) -> Tensor:
        """Adds a micro-batch.

        Args:
            sums: [domains, d]: the sums of this process' unit vectors; with a gradient, where they are to be pushed.
            count: [domains]: of how many.
            nonfinite: []: how many were left out.
            loss: []: what another objective than ``push_away`` gives for this micro-batch of this process, which then
                counts by its vectors.

        Returns:
            []: what this process adds to its loss. The mean over processes, summed over micro-batches, is the
            objective of the step; gradients are taken to be averaged over processes.
        """
        share = wide(count).sum() / wide(self._totals).sum().clamp(min=1)
        own = sums.new_zeros(()) if loss is None else (loss.detach() * share).to(sums.dtype)
        flat = torch.cat([sums.detach().flatten(), count.to(sums.dtype), nonfinite.to(sums.dtype)[None], own[None]])
        flat = self._reduce(flat)
        here, n = flat[: sums.numel()].reshape(sums.shape), flat[sums.numel() : -2].round().to(count.dtype)
        self.nonfinite = self.nonfinite + wide(flat[-2])
        before = torch.zeros_like(here) if self._sums is None else self._sums
        after, counted = before + here, self._count + n
        if loss is None:
            term, value = self._push_away(sums, before, after, counted)
        else:
            term, value = loss * share * self._processes, wide(flat[-1])
        self._sums, self._count, self._value = after, counted, self._value + value
        return term

    def _push_away(self, sums: Tensor, before: Tensor, after: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        pairs = pair_count(counted, self._cross) - pair_count(self._count, self._cross)
        cosines = pair_cosines(after, counted, self._cross) - pair_cosines(before, self._count, self._cross)
        every = torch.where(self._pairs > 0, self._pairs, torch.inf)
        value = (cosines - pairs) / every
        direction = cosines_gradient(wide(after) + wide(before), self._cross) / every
        surrogate = (direction * wide(sums)).sum() * self._processes
        return surrogate - surrogate.detach() + value, value

    def found(self) -> Tensor:
        """[2], float64: D of all vectors of the step, and the objective; NaN where there is no pair."""
        if self._sums is None:
            return torch.full((2,), torch.nan, dtype=self._value.dtype, device=self._value.device)
        d = closed_form(wide(self._sums).sum(0).square().sum(), self._count.sum()).to(self._value)
        return torch.stack([d, torch.where(self._pairs > 0, self._value, torch.nan)])
