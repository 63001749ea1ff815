"""Where the vectors of segments go: into sums of their task, in the process that has them.

A labelled task may ask for single vectors besides, one a document; they are gone with the process, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lm_eval_dispersion.capture._device import sent
from lm_eval_dispersion.geometry import GROUPS, Pairs, Vectors

# Of sums on a device. A leaderboard's many subjects have fifty groups each.
_HELD_BYTES = 128 * 2**20


@dataclass
class Sums:
    """What D across the segments of one task is made of, and for a labelled task what is asked of single prompts."""

    across: Pairs = field(default_factory=Pairs)
    """One vector a segment or prompt, its last position."""
    all_pairs: Pairs = field(default_factory=Pairs)
    """All vectors of all windows; empty for a labelled task."""
    vectors: Vectors | None = None
    """Each document's vector of ``across`` at the last hidden state by itself, where somebody asks for it."""

    def merge(self, other: Sums) -> None:
        """Adds what another process, or another call, has summed."""
        self.across.merge(other.across)
        self.all_pairs.merge(other.all_pairs)
        if self.vectors is not None and other.vectors is not None:
            self.vectors.merge(other.vectors)


class Owner(NamedTuple):
    """A document that a segment belongs to. A prompt of several documents is reduced once and has several owners."""

    sums: Sums
    """Of the document's task."""
    document: int
    """Its number in the task; decides its jackknife group."""


# An accumulator, a document of its, and which of several sums of vectors are added to it.
Goes = tuple[Pairs, int, int]


class HeldSums:
    """Sums of vectors by jackknife group, kept where the vectors are until ``settle``, at most 128 MiB of them."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], tuple[Pairs, int, int]] = {}
        """By the accumulator's identity and the group: the accumulator, the group, its place in what follows."""
        self._total: Tensor | None = None
        """[places, layers, d]."""
        self._count: Tensor | None = None
        """[places, layers]."""

    def add(self, goes: Sequence[Goes], total: Tensor, count: Tensor) -> None:
        """Adds sums of vectors, each to one or more groups. Waits for the device only where there are too many groups.

        Args:
            goes: (accumulator, document, which of the sums) of each.
            total: [layers, sums, d].
            count: [layers, sums], of how many vectors they are.
        """
        if not goes:
            return
        most = _HELD_BYTES // (total.shape[0] * total.shape[2] * total.element_size())
        new = {(id(pairs), document % GROUPS) for pairs, document, _ in goes} - self._groups.keys()
        if len(self._groups) + len(new) > most:
            self.settle()
        places = []
        for pairs, document, _ in goes:
            group = document % GROUPS
            places.append(self._groups.setdefault((id(pairs), group), (pairs, group, len(self._groups)))[2])
        self._total = _with_room(self._total, len(self._groups), most, total)
        self._count = _with_room(self._count, len(self._groups), most, count)
        to, of = sent(torch.tensor([places, [which for *_, which in goes]]), total.device)
        for held, found in ((self._total, total), (self._count, count)):
            held.index_add_(0, to, found.transpose(0, 1).index_select(0, of))

    def settle(self) -> None:
        """Adds all to the accumulators, one after another, and holds nothing any more."""
        if self._total is not None and self._count is not None:
            count = self._count.cpu().numpy()
            for pairs, group, place in self._groups.values():
                pairs.add(group, self._total[place].cpu().numpy(), count[place])
        self._groups, self._total, self._count = {}, None, None


def _with_room(held: Tensor | None, places: int, most: int, like: Tensor) -> Tensor:
    """``held``, or a copy of it, with at least ``places``, the new ones zero; no more than ``most`` without need."""
    have = 0 if held is None else len(held)
    if held is not None and have >= places:
        return held
    room = max(places, min(max(2 * have, 25), most))
    more = like.new_zeros(room - have, like.shape[0], *like.shape[2:])
    return more if held is None else torch.cat([held, more])
