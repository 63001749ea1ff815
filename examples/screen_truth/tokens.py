"""Token sets of the truth test: the screen's own, and sets that stand in the domain's place by chance."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
_EVERYDAY, _NEAREST = 200, 20


class Tokens(NamedTuple):
    """Ids of the one tokenizer."""

    domain: Ids
    """T: the screen's set ``python``, keywords that are one token, with and without a blank before them."""
    general: Ids
    """The screen's general tokens."""
    everyday: Ids
    """Other general tokens: of words of two and more small letters after a blank the 200 most frequent in the prose."""
    others: Ids
    """In none of these, but in the training texts."""
    frequency: Floats
    """[vocabulary, 2]: occurrences in a million tokens of code, and of prose."""


def choose(tokenizer: Any, domain: list[str], general: list[str], code: list[str], prose: list[str]) -> Tokens:
    """All of them, from the spelling of the screen's and from the training texts."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    of_domain, of_general = (np.array(sorted(vocabulary[token] for token in one)) for one in (domain, general))
    frequency = np.stack([_frequency(tokenizer, texts) for texts in (code, prose)], axis=1)
    words = [i for token, i in vocabulary.items() if re.fullmatch("Ġ[a-z]{2,}", token) and token not in domain]
    everyday = np.array(sorted(words, key=lambda i: -frequency[i, 1])[:_EVERYDAY])
    others = np.setdiff1d(np.flatnonzero(frequency.sum(1)), np.concatenate([of_domain, of_general, everyday]))
    return Tokens(of_domain, of_general, everyday, others, frequency)


def _frequency(tokenizer: Any, texts: list[str]) -> Floats:
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    count = np.bincount(np.concatenate([np.array(ids, dtype=np.int64) for ids in encoded]), minlength=len(tokenizer))
    return np.asarray(count / count.sum() * 1e6)


def random_sets(rng: np.random.Generator, eligible: Ids, size: int, count: int) -> Ids:
    """[count, size]: tokens of ``eligible``, none twice in a set."""
    return np.stack([rng.choice(eligible, size, replace=False) for _ in range(count)])


def matched_sets(rng: np.random.Generator, eligible: Ids, domain: Ids, traits: Floats, count: int) -> Ids:
    """[count, size]: for each token of the domain one of the 20 eligible that are nearest to it and not yet taken.

    Args:
        rng: draws among the 20.
        eligible: the tokens that may be drawn.
        domain: the tokens to match, [size].
        traits: [vocabulary, traits], what to be near in (Euclidean).
        count: how many sets.
    """
    distance = np.linalg.norm(traits[domain][:, None] - traits[eligible][None], axis=-1)
    near = eligible[np.argsort(distance, axis=1, kind="stable")].tolist()
    sets = np.empty((count, len(domain)), dtype=np.int64)
    for one in sets:
        taken: set[int] = set()
        # In any order, or the first tokens would always have the nearest.
        for i in rng.permutation(len(domain)):
            free = list(islice((token for token in near[i] if token not in taken), _NEAREST))
            one[i] = rng.choice(free)
            taken.add(int(one[i]))
    return sets
