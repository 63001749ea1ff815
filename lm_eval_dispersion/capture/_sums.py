"""Where the vectors of segments go: into sums of their task, in the process that has them; none leaves it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm_eval_dispersion.geometry import GROUPS, Pairs, unit_sums

# Of sums on a device. A leaderboard's many subjects have fifty groups each.
_HELD_BYTES = 256 * 2**20


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


# An accumulator, a document of its, and which of several sums of vectors are added to it.
Goes = tuple[Pairs, int, int]


class HeldSums:
    """Sums of vectors by jackknife group, kept where the vectors are until ``settle``, at most 256 MiB of them."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], tuple[Pairs, int, int]] = {}
        """By the accumulator's identity and the group: the accumulator, the group, its place in what follows."""
        self._total: Tensor | None = None
        """[places, layers, d]."""
        self._counts: dict[int, NDArray[np.int64]] = {}

    def add(self, goes: Sequence[Goes], vectors: Tensor) -> None:
        """Adds sums of vectors, each to one or more groups.

        Args:
            goes: (accumulator, document, which of the sets) of each.
            vectors: [layers, sets, d].
        """
        if not goes:
            return
        row = vectors.shape[0] * vectors.shape[2] * vectors.element_size()
        new = {(id(pairs), document % GROUPS) for pairs, document, _ in goes} - self._groups.keys()
        if (len(self._groups) + len(new)) * row > _HELD_BYTES:
            self.settle()
        places = []
        for pairs, document, _ in goes:
            group = document % GROUPS
            places.append(self._groups.setdefault((id(pairs), group), (pairs, group, len(self._groups)))[2])
        self._total = _with_room(self._total, len(self._groups), vectors)
        places_and_sets = torch.tensor([places, [which for *_, which in goes]]).to(vectors.device, non_blocking=True)
        self._total.index_add_(0, places_and_sets[0], vectors.transpose(0, 1).index_select(0, places_and_sets[1]))

    def add_counts(self, goes: Sequence[Goes], counts: NDArray[np.int64]) -> None:
        """Of how many vectors what was added last is: [layers, sets]."""
        for pairs, document, which in goes:
            place = self._groups[id(pairs), document % GROUPS][2]
            self._counts[place] = self._counts.get(place, 0) + counts[:, which]

    def settle(self) -> None:
        """Adds all to the accumulators, and holds nothing any more."""
        if self._total is not None:
            total = self._total[: len(self._groups)].cpu().numpy()
            for pairs, group, place in self._groups.values():
                pairs.add(group, total[place], self._counts[place])
        self._groups, self._total, self._counts = {}, None, {}


def _with_room(total: Tensor | None, places: int, like: Tensor) -> Tensor:
    """At least ``places`` sums, the new ones zero."""
    have = 0 if total is None else len(total)
    if total is not None and have >= places:
        return total
    more = like.new_zeros(max(places, 2 * have, 25) - have, like.shape[0], like.shape[2])
    return more if total is None else torch.cat([total, more])


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
