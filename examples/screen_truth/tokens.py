"""Token sets of the truth test: the domain, general tokens, and sets that stand in the domain's place by chance."""

from __future__ import annotations

import keyword
import re
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
_GENERAL, _NEAREST = 200, 20


class Tokens(NamedTuple):
    """Ids of the one tokenizer."""

    domain: Ids
    """T: Python keywords that are one token, with and without a blank before them."""
    general: Ids
    """Lower-case words that are one token with a blank before them and no keyword: the 200 most frequent in the prose."""
    others: Ids
    """Neither, but in the training texts."""
    frequency: Floats
    """[vocabulary, 2]: occurrences in a million tokens of code, and of prose."""


def choose(tokenizer: Any, code: list[str], prose: list[str]) -> Tokens:
    """The sets, from the vocabulary and the training texts."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    frequency = np.stack([_frequency(tokenizer, texts) for texts in (code, prose)], axis=1)
    forms = (form for word in keyword.kwlist for form in (word, f"Ġ{word}"))
    domain = sorted(vocabulary[form] for form in forms if form in vocabulary)
    words = [i for form, i in vocabulary.items() if re.fullmatch("Ġ[a-z]{2,}", form) and i not in domain]
    general = sorted(words, key=lambda i: -frequency[i, 1])[:_GENERAL]
    others = np.setdiff1d(np.flatnonzero(frequency.sum(1)), [*domain, *general])
    return Tokens(np.array(domain), np.array(general), others, frequency)


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
