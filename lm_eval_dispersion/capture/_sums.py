"""Where the vectors of segments go: into sums of their task, in the process that has them; none leaves it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lm_eval_dispersion.geometry import Pairs, unit_sums


@dataclass
class Sums:
    """What D across the segments of one task is made of."""

    across: Pairs = field(default_factory=Pairs)
    """One vector a segment or prompt, its last position."""
    all_pairs: Pairs = field(default_factory=Pairs)
    """All vectors of all windows; empty for a labelled task."""

    def merge(self, other: Sums) -> None:
        """Adds what another process, or another call, has summed."""
        self.across.merge(other.across)
        self.all_pairs.merge(other.all_pairs)


class Owner(NamedTuple):
    """A document that a segment belongs to. A prompt of several documents is reduced once and has several owners."""

    sums: Sums
    """Of the document's task."""
    document: int
    """Its number in the task; decides its jackknife group."""


def add_segments(owners: Sequence[Sequence[Owner]], last: Tensor, total: Tensor | None, count: Tensor) -> None:
    """Adds the vectors of segments to the sums of their owners.

    Args:
        owners: by segment; one without any is left out.
        last: [segments, layers, d], on the CPU: the vectors of the last positions, of any length.
        total: [segments, layers, d], on the CPU: sums of unit vectors; None for prompts, of which nobody asks for it.
        count: [segments, layers]: how many vectors those sums are of.
    """
    ones = unit_sums(last.unsqueeze(-2))
    for i, mine in enumerate(owners):
        for sums, document in mine:
            sums.across.add(document, ones.total[i].numpy(), ones.count[i].numpy())
            if total is not None:
                sums.all_pairs.add(document, total[i].numpy(), count[i].numpy())


def stacked(layers: Sequence[Tensor]) -> Tensor:
    """[segments, ...] of each layer -> [segments, layers, ...]. Narrower vectors get zeros, which change no cosine.

    Few models have hidden states of different widths (OPT-350m projects its last one).
    """
    if layers[0].ndim > 1:
        widest = max(layer.shape[-1] for layer in layers)
        layers = [torch.nn.functional.pad(layer, (0, widest - layer.shape[-1])) for layer in layers]
    return torch.stack(list(layers), dim=1)
