"""Checkpoints that are to be ranked, each over the tokens that count in all of them.

Which rows training has never touched differs by a few between checkpoints, and G over other tokens is another number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from lm_eval_dispersion.screen._gap import Ids
from lm_eval_dispersion.screen._score import Score, counting, score
from lm_eval_dispersion.screen._screen import Screened
from lm_eval_dispersion.screen._sets import FEWEST, FEWEST_GENERAL
from lm_eval_dispersion.screen._vocabulary import tokens_hash

SHARE = 0.5
"""Of the tokens that count in at least one of some checkpoints, as many must count in all."""


def in_common(screened: Sequence[Screened], watch: Callable[[int], object] = lambda n: None) -> list[Screened]:
    """The same checkpoints, those of one family and tokenizer scored over the tokens that count in every one of them.

    Where less than half of the tokens that count in any of them count in all, or fewer than a set or the general tokens
    must have, those with the fewest are taken out, and are scored among themselves. So G of a checkpoint depends on
    which others are given, and those of one call and family have one ``tokens_hash`` wherever they can.

    Args:
        screened: in any order.
        watch: told of each score that was computed anew.
    """
    scores: list[dict[str, Score]] = [{} for _ in screened]
    for name in dict.fromkeys(name for one in screened for name in one.scores):
        kin: dict[tuple[str, str], dict[int, tuple[Ids, Ids]]] = {}
        for i, one in enumerate(screened):
            if name in one.scores:
                of = one.checkpoint
                kin.setdefault((of.model_type, of.vocabulary.hash), {})[i] = counting(one.sets, name, one.rows)
        for members in kin.values():
            for i, (tokens, general) in _shared(members).items():
                one = screened[i]
                scores[i][name] = one.scores[name]
                if not _is_over(one, name, tokens, general):
                    scores[i][name] = score(one.checkpoint.vocabulary, one.sets, name, one.rows, tokens, general)
                    watch(1)
    return [replace(one, scores=mine) for one, mine in zip(screened, scores, strict=True)]


def _is_over(one: Screened, name: str, tokens: Ids, general: Ids) -> bool:
    spelled, had = one.checkpoint.vocabulary.tokens, one.scores[name]
    hashes = (tokens_hash(spelled, ids.tolist()) for ids in (tokens, general))
    return tuple(hashes) == (had.tokens_hash, had.general_hash)


def _shared(members: dict[int, tuple[Ids, Ids]]) -> dict[int, tuple[Ids, Ids]]:
    """For each checkpoint the tokens and general tokens over which it is scored, from those that count in each."""
    together, apart = dict(members), {}
    while True:
        both = [[one[kind] for one in together.values()] for kind in (0, 1)]
        common, some = ([reduce(of, kind) for kind in both] for of in (np.intersect1d, np.union1d))
        if all(
            len(every) >= max(least, SHARE * len(any_))
            for every, any_, least in zip(common, some, (FEWEST, FEWEST_GENERAL), strict=True)
        ):
            break
        fewest = min(together, key=lambda i: min(len(a) / len(b) for a, b in zip(together[i], some, strict=True)))
        apart[fewest] = together.pop(fewest)
    return dict.fromkeys(together, (common[0], common[1])) | (_shared(apart) if apart else {})
