"""One checkpoint: which rows are needed, which of them count, and what they say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.screen._checkpoint import Checkpoint, open_checkpoint
from lm_eval_dispersion.screen._dtypes import Float32
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import Meter
from lm_eval_dispersion.screen._gap import Ids
from lm_eval_dispersion.screen._score import Rows, Score, counting, score
from lm_eval_dispersion.screen._sets import Sets, make_sets
from lm_eval_dispersion.screen._trained import trained


@dataclass(frozen=True)
class Untrained:
    """Ordinary tokens that training has never touched: counted in the sample, and how many that makes of all."""

    sample: int
    found: int
    about: float
    low: float
    high: float
    """About, and its interval of 95 % (Wilson's, with the sample's blocks as clusters)."""


@dataclass(frozen=True)
class Screened:
    """What there is to say of one checkpoint."""

    checkpoint: Checkpoint
    scores: dict[str, Score]
    """By set."""
    faults: dict[str, str]
    """Why a set has no G."""
    padding_rows: int
    untrained: Untrained
    rows_hash: str
    """SHA-256 of the random sample's values as float32; equal where the output matrices are."""
    rows_read: int
    """Rows whose values are in ``read_hash``, which decides what is the same matrix in one call."""
    read_hash: str
    meter: Meter
    seconds: float
    sets: Sets = field(repr=False)
    rows: Rows = field(repr=False)
    """What was read, kept so that G can be had over fewer tokens."""


def screen(name: str, wanted: dict[str, list[str] | None], watch: Callable[[int], object] = lambda n: None) -> Screened:
    """Reads a checkpoint's header and the rows that are needed, and nothing else.

    Args:
        name: see ``open_checkpoint``.
        wanted: token sets, from ``check_sets``.
        watch: told of the bytes of each read, from several threads.

    Raises:
        Unscreenable: where it cannot be done, in one line.
    """
    begun, meter = time.monotonic(), Meter(watch)
    checkpoint = open_checkpoint(name, meter)
    sets = make_sets(checkpoint.vocabulary, wanted, checkpoint.matrix.rows)
    named = sets.named
    ids = np.concatenate([named, sets.padding])
    read = checkpoint.matrix.read(ids.tolist())
    rows = Rows(read, ids, trained(read, _places(ids, np.concatenate([sets.sample, sets.padding]))))
    scores: dict[str, Score] = {}
    faults: dict[str, str] = {}
    for one in wanted:
        try:
            scores[one] = score(checkpoint.vocabulary, sets, one, rows, *counting(sets, one, rows))
        except Unscreenable as error:
            faults[one] = str(error)
    sampled = _places(ids, sets.sample)
    return Screened(
        checkpoint=checkpoint,
        scores=scores,
        faults=faults,
        padding_rows=sets.padding_rows,
        untrained=_untrained(~rows.good[sampled], len(checkpoint.vocabulary.tokens)),
        rows_hash=_digest(read[sampled]),
        rows_read=len(named),
        read_hash=_digest(read[_places(ids, named)]),
        meter=meter,
        seconds=time.monotonic() - begun,
        sets=sets,
        rows=rows,
    )


def _places(ids: Ids, some: Ids) -> Ids:
    order = np.argsort(ids)
    return np.asarray(order[np.searchsorted(ids, some, sorter=order)])


def _untrained(bad: NDArray[np.bool_], tokens: int) -> Untrained:
    """Neighbours in id are alike in this: the sample is worth fewer tokens than it has (Kish 1965, design effect)."""
    from scipy.stats import norm

    n, p = len(bad), float(bad.mean())
    blocks = np.array([block.mean() for block in np.array_split(bad, max(1, n // 8))])
    spread = blocks.var() * n / len(blocks)
    worth = n / max(1.0, spread / (p * (1 - p))) if 0 < p < 1 else n
    z = float(norm.ppf(0.975))
    middle, half = p + z * z / (2 * worth), z * np.sqrt(p * (1 - p) / worth + z * z / (4 * worth * worth))
    low, high = (middle - half) / (1 + z * z / worth), (middle + half) / (1 + z * z / worth)
    return Untrained(n, int(bad.sum()), p * tokens, max(0.0, float(low)) * tokens, min(1.0, float(high)) * tokens)


def _digest(rows: Float32) -> str:
    return sha256(np.ascontiguousarray(rows, dtype="<f4").tobytes()).hexdigest()


def spelled(name: str, wanted: dict[str, list[str] | None]) -> dict[str, list[str]]:
    """The tokens of each set and the general ones in a checkpoint's tokenizer; no row is read.

    Raises:
        Unscreenable: as of ``screen``.
    """
    checkpoint = open_checkpoint(name, Meter())
    sets = make_sets(checkpoint.vocabulary, wanted, checkpoint.matrix.rows)
    chosen: dict[str, Sequence[int]] = {one: ids.tolist() for one, ids in sets.domain.items()}
    chosen["general"] = sets.general.tolist()
    return {one: [checkpoint.vocabulary.tokens[i] for i in ids] for one, ids in chosen.items()}
