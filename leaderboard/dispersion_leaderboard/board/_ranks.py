"""Ranks as ranges: what the standard errors leave undecided is not decided by the third decimal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_Z = 1.959964
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Ranks:
    """Of every entry; 0 (NaN for the score) where it is not ranked."""

    score: Floats
    """Mean chance-corrected accuracy over the ranked benchmarks, 0 to 1."""
    stderr: Floats
    best: NDArray[np.int64]
    """1 + how many are better beyond the 95 % interval of the difference."""
    worst: NDArray[np.int64]
    """How many are not worse beyond it, itself included."""
    group: NDArray[np.int64]
    """Tie group: 1 holds the leader and all that cannot be told from it, 2 the next one and so on."""


def rank(accuracy: Floats, stderr: Floats, chance: Floats) -> Ranks:
    """Ranks the entries that have every benchmark.

    Args:
        accuracy: [entries, benchmarks], NaN where not measured.
        stderr: likewise; an entry with an undefined one is not ranked.
        chance: [benchmarks].

    Standard errors of two models on the same questions are taken as independent, which is on the safe side: their
    correlation makes differences more certain than that. Nothing is corrected for the number of pairs.
    """
    scale = 1 - chance
    score, error = np.full(len(accuracy), np.nan), np.full(len(accuracy), np.nan)
    best, worst, group = (np.zeros(len(accuracy), dtype=np.int64) for _ in range(3))
    complete = (
        np.isfinite(accuracy).all(1) & np.isfinite(stderr).all(1)
        if accuracy.shape[1]
        else np.zeros(len(accuracy), bool)
    )
    if complete.any():
        s = ((accuracy[complete] - chance) / scale).mean(1)
        e = np.sqrt(((stderr[complete] / scale) ** 2).sum(1)) / accuracy.shape[1]
        score[complete], error[complete] = s, e
        best[complete], worst[complete] = _ranges(s, e)
        group[complete] = _groups(s, e)
    return Ranks(score, error, best, worst, group)


def _ranges(score: Floats, error: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    best, worst = np.empty(len(score), dtype=np.int64), np.empty(len(score), dtype=np.int64)
    for start in range(0, len(score), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        difference = score[None, :] - score[rows, None]
        margin = _Z * np.hypot(error[None, :], error[rows, None])
        best[rows] = 1 + (difference > margin).sum(1)
        worst[rows] = len(score) - (difference < -margin).sum(1)
    return best, worst


def _groups(score: Floats, error: Floats) -> NDArray[np.int64]:
    groups = np.empty(len(score), dtype=np.int64)
    order = np.argsort(-score, kind="stable")
    leader, group = order[0], 1
    for i in order:
        if score[leader] - score[i] > _Z * np.hypot(error[leader], error[i]):
            leader, group = i, group + 1
        groups[i] = group
    return groups
