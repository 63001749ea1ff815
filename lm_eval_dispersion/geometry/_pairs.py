"""D over pairs across a whole corpus, streaming, with a jackknife standard error over groups of documents.

Given one vector a segment this is the paper's equation ("across"); given the sum of all unit vectors of each
segment it is D over all pairs of the corpus. Only sums of unit vectors are kept: one a layer and group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lm_eval_dispersion.geometry._closed_form import closed_form
from lm_eval_dispersion.geometry._jackknife import GROUPS, jackknife
from lm_eval_dispersion.geometry._shelf import Shelf

Floats = NDArray[np.float64]


class Pairs:
    """Streaming and mergeable; holds at most 50 x layers x d numbers of 4 bytes, all of a process 256 MiB in memory.

    Documents fall into 50 groups by number, so the groups do not depend on order, batch or process.
    """

    def __init__(self) -> None:
        self._sums = Shelf()
        self._counts: dict[int, NDArray[np.int64]] = {}

    def add(self, document: int, total: NDArray[np.float32], count: NDArray[np.int64]) -> None:
        """Adds vectors of one document.

        Args:
            document: the document's number; decides its jackknife group, as does a group's own number.
            total: [layers, d], sum of unit vectors, as ``unit_sums`` gives it.
            count: [layers], how many vectors that sum is of.
        """
        group = document % GROUPS
        self._sums.add(group, total)
        if group in self._counts:
            self._counts[group] += count
        else:
            self._counts[group] = np.array(count, dtype=np.int64)

    def groups(self) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.int64]]]:
        """All that is held: a group's number, total and count, for another accumulator's ``add``."""
        for group, count in self._counts.items():
            yield group, self._sums[group], count

    def merge(self, other: Pairs) -> None:
        """Adds what another accumulator has seen (of another process, or another part of the corpus)."""
        for group, total, count in other.groups():
            self.add(group, total, count)

    @property
    def count(self) -> NDArray[np.int64]:
        """[layers]: how many vectors; empty before the first ``add``."""
        return sum(self._counts.values(), start=np.zeros(0, np.int64) if not self._counts else np.int64(0))

    def dispersion(self) -> tuple[Floats, Floats]:
        """([layers] D, [layers] standard error); NaN where there are too few vectors or groups."""
        if not self._counts:
            return np.zeros(0), np.zeros(0)
        order = sorted(self._counts)
        counts = np.stack([self._counts[g] for g in order])  # [groups, layers]
        layers = counts.shape[1]
        value, stderr = np.empty(layers), np.full(layers, np.nan)
        for layer in range(layers):
            sums = np.stack([self._sums.layer(g, layer) for g in order]).astype(np.float64)  # [groups, d]
            total, n = sums.sum(0), counts[:, layer]
            value[layer] = _closed_form(total @ total, n.sum())
            # ||S - S_g||^2 for every group at once
            left = total @ total - 2 * sums @ total + np.einsum("gd,gd->g", sums, sums)
            has = n > 0
            without = _closed_form(left, n.sum() - n)[has]
            if len(without) >= 2:
                stderr[layer] = jackknife(without)
        return value, stderr


def _closed_form(squared_norm: Floats, count: NDArray[np.int64]) -> Floats:
    return closed_form(torch.as_tensor(squared_norm), torch.as_tensor(count)).numpy()
