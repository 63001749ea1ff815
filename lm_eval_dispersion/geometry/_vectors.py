"""Single vectors by document: for what sums cannot say, as which documents' vectors lie near each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.geometry._shelf import Shelf


class Vectors:
    """One unit vector a document, on a shelf: 256 MiB of a process' in memory, together with its sums. Mergeable.

    A document may be added more than once (several prompts); then it has no vector of its own, but their sum.
    """

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._counts: dict[int, int] = {}

    def add(self, document: int, total: NDArray[np.float32], count: int = 1) -> None:
        """Adds the sum, [d], of ``count`` unit vectors of a document; zero for a vector that has no direction."""
        self._shelf.add(document, total[None])
        self._counts[document] = self._counts.get(document, 0) + count

    def sums(self) -> Iterator[tuple[int, NDArray[np.float32], int]]:
        """All that is held: a document, its sum and of how many, for another one's ``add``."""
        for document, count in self._counts.items():
            yield document, self._shelf[document][0], count

    def merge(self, other: Vectors) -> None:
        """Adds what another one has seen."""
        for document, total, count in other.sums():
            self.add(document, total, count)

    @property
    def counts(self) -> dict[int, int]:
        """By document: of how many vectors its sum is."""
        return self._counts

    def of(self, documents: Sequence[int]) -> NDArray[np.float32]:
        """[documents, d]: of at least one, in this order."""
        first = self._shelf[documents[0]][0]
        found = np.empty((len(documents), len(first)), np.float32)
        for i, document in enumerate(documents):
            found[i] = self._shelf[document][0]
        return found
