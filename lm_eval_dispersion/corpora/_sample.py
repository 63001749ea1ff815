"""The random sample of a corpus' documents, drawn in one way whatever the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_dispersion._errors import TaskError

if TYPE_CHECKING:
    from datasets import Dataset

SAMPLE_OPTIONS = ("max_documents", "seed")

_ALL = "all"


def selection(corpus: str, options: Mapping[str, Any], default: int | None = None) -> dict[str, int]:
    """What options ask for, as a record says it: ``max_documents`` and ``seed``, or nothing where all is taken.

    Args:
        corpus: whose options they are, for the error.
        options: ``max_documents`` (a number, or "all") and ``seed``, each if it was given.
        default: how many documents are taken where options do not say; None is all.

    Raises:
        TaskError: names the option that is wrong, and what it may be.
    """
    count, seed = options.get("max_documents"), options.get("seed", 0)
    if count is None:
        count = default
    if not _whole(seed, 0):
        raise TaskError(f"{corpus}: seed must be a whole number of at least 0, not {seed!r}")
    if count is None or count == _ALL:
        return {}
    if not _whole(count, 1):
        raise TaskError(f'{corpus}: max_documents must be a whole number of at least 1, or "all", not {count!r}')
    return {"max_documents": count, "seed": seed}


def sampled(documents: Dataset, selection: Mapping[str, int]) -> Dataset:
    """A sample without replacement, in the order of the corpus; the same for the same seed and number of documents."""
    count = selection.get("max_documents")
    if count is None or count >= len(documents):
        return documents
    chosen = np.random.default_rng(selection["seed"]).choice(len(documents), size=count, replace=False)
    return documents.select(np.sort(chosen))


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
