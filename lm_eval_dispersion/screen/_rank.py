"""Checkpoints side by side, as far as their numbers are of the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lm_eval_dispersion.screen._score import Score
from lm_eval_dispersion.screen._screen import Screened


@dataclass(frozen=True)
class Lead:
    """How far a checkpoint's G lies above the next one's in the ranking."""

    difference: float
    stderr: float
    """Over tokens, the same ones in both (jackknife)."""


@dataclass(frozen=True)
class Ranked:
    """One output matrix in a ranking."""

    screened: tuple[Screened, ...]
    """The checkpoints that have it: those of more than one cannot be told apart by G."""
    score: Score
    lead: Lead | None
    """Over the next; None for the last."""


@dataclass(frozen=True)
class Group:
    """Checkpoints of one family and tokenizer, scored over the same tokens: only these are ranked."""

    set: str
    model_type: str
    vocabulary_hash: str
    ranked: tuple[Ranked, ...]
    """Largest G first."""


def rank(screened: Sequence[Screened]) -> list[Group]:
    """The groups of each token set, in the order in which sets and checkpoints were asked for.

    Args:
        screened: from ``in_common``; without it, checkpoints of which a single row more counts are not ranked together.
    """
    found: dict[tuple[str, ...], list[Screened]] = {}
    for name in dict.fromkeys(name for one in screened for name in one.scores):
        for one in screened:
            if name in one.scores:
                score, of = one.scores[name], one.checkpoint
                key = (name, of.model_type, of.vocabulary.hash, score.tokens_hash, score.general_hash)
                found.setdefault(key, []).append(one)
    return [Group(key[0], key[1], key[2], _ranked(key[0], members)) for key, members in found.items()]


def _ranked(name: str, members: list[Screened]) -> tuple[Ranked, ...]:
    same: dict[str, list[Screened]] = {}
    for one in members:
        same.setdefault(one.read_hash, []).append(one)
    best = sorted(same.values(), key=lambda alike: -alike[0].scores[name].gap)
    scores = [alike[0].scores[name] for alike in best]
    leads = [_lead(a, b) for a, b in pairwise(scores)]
    return tuple(
        Ranked(tuple(alike), score, lead) for alike, score, lead in zip(best, scores, [*leads, None], strict=True)
    )


def _lead(a: Score, b: Score) -> Lead:
    return Lead(a.gap - b.gap, a.left_out.minus(b.left_out).stderr)
