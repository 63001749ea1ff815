"""What is logged: averages over the optimizer steps since the last log."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


class Averages:
    """Sums on the device; it is waited for only when they are taken."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._steps: Tensor | None = None

    def add(self, found: Tensor, lam: float, nonfinite: Tensor) -> None:
        """Adds a step: [2], D and the objective, NaN where undefined; the weight; vectors that were not finite."""
        new = torch.cat([found, torch.full_like(found[:1], lam), nonfinite.to(found)[None]])
        defined = ~new.isnan()
        new = torch.where(defined, new, 0.0)
        self._total = new if self._total is None else self._total + new
        self._steps = defined.long() if self._steps is None else self._steps + defined

    def take(self) -> dict[str, float]:
        """The averages by name, without those that no step defined; then they begin anew."""
        if self._total is None or self._steps is None:
            return {}
        total, steps = self._total.tolist(), self._steps.tolist()
        self._total = self._steps = None
        if total[3]:
            _log.warning(
                "%d hidden vectors since the last log were NaN or infinite: the push-away leaves them out", total[3]
            )
        names = ("dispersion", "push_away", "lam")
        return {name: t / n for name, t, n in zip(names, total, steps, strict=False) if n}
