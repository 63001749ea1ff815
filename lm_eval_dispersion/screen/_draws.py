"""G of other sets of the same size: what a set's G has to stand out from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.screen._gap import Ids, gaps

Rows = NDArray[np.floating[Any]]

DRAWS = 1000
"""Sets that are drawn."""
SEED = 0


@dataclass(frozen=True)
class Draws:
    """G of so many other sets."""

    sets: int
    low: float
    """The 2.5th percentile."""
    high: float
    """The 97.5th."""
    mean: float
    below: float
    """The share of sets whose G is smaller than the domain's."""


def at_random(rows: Rows, pool: Ids, n: int, general: Rows, value: float) -> Draws | None:
    """Sets of n tokens of a sample.

    Args:
        rows: [N, d].
        pool: places in ``rows`` that may be drawn.
        n: tokens of a set.
        general: [m, d].
        value: the domain's G.

    Returns:
        None where the pool has not twice as many tokens as a set.
    """
    if len(pool) < 2 * n:
        return None
    order = np.random.default_rng(SEED).random((DRAWS, len(pool))).argsort(axis=1)
    return _draws(rows, pool[order[:, :n]], general, value)


def near(rows: Rows, slots: Sequence[Ids], general: Rows, value: float) -> Draws | None:
    """Sets of one token from each slot, none twice; a slot with none left gives one of another slot.

    Args:
        rows: [N, d].
        slots: of each token of the domain the places in ``rows`` of those that are about as frequent.
        general: [m, d].
        value: the domain's G.

    Returns:
        None where all slots together have not twice as many tokens as a set.
    """
    union = np.unique(np.concatenate(slots)).tolist()
    if len(union) < 2 * len(slots):
        return None
    drawn, lists = Random(SEED), [slot.tolist() for slot in slots]
    return _draws(rows, np.array([_one_each(lists, union, drawn) for _ in range(DRAWS)]), general, value)


def _one_each(slots: list[list[int]], union: list[int], drawn: Random) -> list[int]:
    taken: set[int] = set()
    for slot in slots:
        free = [one for one in slot if one not in taken]
        if free:
            taken.add(free[int(drawn.random() * len(free))])
    free = [one for one in union if one not in taken]
    while len(taken) < len(slots):
        taken.add(free.pop(int(drawn.random() * len(free))))
    return sorted(taken)


def _draws(rows: Rows, sets: NDArray[np.int64], general: Rows, value: float) -> Draws:
    places, inverse = np.unique(sets, return_inverse=True)
    found = gaps(rows[places], inverse.reshape(sets.shape), general)
    low, high = np.quantile(found, [0.025, 0.975])
    return Draws(len(found), float(low), float(high), float(found.mean()), float((found < value).mean()))
