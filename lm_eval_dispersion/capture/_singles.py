"""Single vectors kept where they are until there are many, then handed to what keeps them on the host."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lm_eval_dispersion.geometry import Vectors

# Numbers of vectors on a device (32 MiB); to hand them over waits for it.
_HELD = 2**23

# What keeps it, a document of its, and which of several vectors is added to it.
Keeps = tuple[Vectors, int, int]


class HeldVectors:
    """At most 32 MiB of them and a pass' more, until ``settle``."""

    def __init__(self) -> None:
        self._held: list[tuple[Sequence[Keeps], Tensor]] = []
        self._numbers = 0

    def add(self, keeps: Sequence[Keeps], units: Tensor) -> None:
        """Takes unit vectors, [vectors, d], on one device in all calls; zero where one has no direction."""
        if not keeps:
            return
        self._held.append((keeps, units.clone()))  # they may be a part of something larger
        self._numbers += units.numel()
        if self._numbers > _HELD:
            self.settle()

    def settle(self) -> None:
        """Hands over all, one after another, and holds nothing any more."""
        if self._held:
            first, rows = 0, torch.cat([units for _, units in self._held]).cpu().numpy()
            for keeps, units in self._held:
                for vectors, document, which in keeps:
                    vectors.add(document, rows[first + which])
                first += len(units)
        self._held, self._numbers = [], 0
