"""G of one token set of one checkpoint, over tokens whose rows count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.screen._draws import Draws, at_random, near
from lm_eval_dispersion.screen._dtypes import Float32
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._gap import Ids, LeftOut, between, gap, left_out, within
from lm_eval_dispersion.screen._sets import FEWEST, FEWEST_GENERAL, Sets
from lm_eval_dispersion.screen._vocabulary import Vocabulary, tokens_hash


@dataclass(frozen=True)
class Score:
    """G of one token set."""

    gap: float
    within: float
    between: float
    left_out: LeftOut
    """G without each token."""
    random: Draws | None
    """G of sets of as many tokens at random; None where the tokenizer is too small for them."""
    matched: Draws | None
    """G of sets of as many tokens that are about as frequent."""
    found: int
    """Tokens of the set in the tokenizer, of which at most 128 are taken."""
    tokens: int
    """Tokens of the set that count."""
    general: int
    """General tokens that count."""
    untrained: int
    """Tokens of the set that do not count, never having been trained."""
    untrained_general: int
    untrained_elsewhere: int
    """Tokens of the set that do not count, never having been trained in a checkpoint that this one is ranked with."""
    untrained_elsewhere_general: int
    tokens_hash: str
    general_hash: str

    @property
    def asked_general(self) -> int:
        """General tokens, whether or not they count."""
        return self.general + self.untrained_general + self.untrained_elsewhere_general


class Rows:
    """The rows that were read, by id."""

    def __init__(self, read: Float32, ids: Ids, good: NDArray[np.bool_]) -> None:
        self.read = read
        """[n, d]"""
        self.good = good
        self._place = dict(zip(ids.tolist(), range(len(ids)), strict=True))

    def counting(self, ids: Ids) -> Ids:
        """Those whose rows count."""
        return ids[self.good[self.at(ids)]] if len(ids) else ids

    def at(self, ids: Ids) -> Ids:
        """Their places in ``read``."""
        return np.array([self._place[i] for i in ids.tolist()], dtype=np.int64)


def counting(sets: Sets, name: str, rows: Rows) -> tuple[Ids, Ids]:
    """The tokens of a set and the general ones beside it whose rows count in this checkpoint, in order of id."""
    return rows.counting(sets.domain[name]), rows.counting(_asked_general(sets, name))


def score(vocabulary: Vocabulary, sets: Sets, name: str, rows: Rows, tokens: Ids, general: Ids) -> Score:
    """G of a set over some of its tokens.

    Args:
        vocabulary: of the checkpoint.
        sets: of its tokenizer.
        name: of the set.
        rows: that were read of it.
        tokens: of the set, all or some of those that count in it.
        general: likewise.

    Raises:
        Unscreenable: where too few are left.
    """
    own, own_general = counting(sets, name, rows)
    untrained = len(sets.domain[name]) - len(own)
    if len(tokens) < FEWEST:
        why = f", and {untrained} that were never trained" if untrained else ""
        raise Unscreenable(f"its tokenizer has {len(tokens)} tokens of it{why}; at least {FEWEST} are needed")
    if len(general) < FEWEST_GENERAL:
        raise Unscreenable(f"{len(general)} everyday tokens are left beside it; at least {FEWEST_GENERAL} are needed")
    u, v = rows.read[rows.at(tokens)], rows.read[rows.at(general)]
    value = gap(u, v)
    # What a set has to stand out from are this checkpoint's rows, so these need count in no other.
    pool = rows.counting(np.setdiff1d(sets.sample, np.concatenate([sets.domain[name], sets.general])))
    kept = zip(sets.domain[name].tolist(), sets.near[name], strict=True)
    counts = set(tokens.tolist())
    slots = [rows.at(rows.counting(slot)) for token, slot in kept if token in counts]
    spelled = vocabulary.tokens
    return Score(
        gap=value,
        within=within(u),
        between=between(u, v),
        left_out=left_out(u, v),
        random=at_random(rows.read, rows.at(pool), len(tokens), v, value),
        matched=near(rows.read, slots, v, value),
        found=sets.found[name],
        tokens=len(tokens),
        general=len(general),
        untrained=untrained,
        untrained_general=len(_asked_general(sets, name)) - len(own_general),
        untrained_elsewhere=len(own) - len(tokens),
        untrained_elsewhere_general=len(own_general) - len(general),
        tokens_hash=tokens_hash(spelled, tokens.tolist()),
        general_hash=tokens_hash(spelled, general.tolist()),
    )


def _asked_general(sets: Sets, name: str) -> Ids:
    return np.setdiff1d(sets.general, sets.domain[name])
