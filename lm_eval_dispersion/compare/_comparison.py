"""Models on one text: each by itself, and every two of them paired by document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from tqdm import tqdm

from lm_eval_dispersion.compare._comparable import how_measured, why_no_dispersion
from lm_eval_dispersion.compare._documents import Documents, bits_apart, dispersion_apart, read_documents
from lm_eval_dispersion.compare._entries import Entry
from lm_eval_dispersion.compare._estimates import (
    LEVEL,
    Estimate,
    documents_needed,
    holm,
    interval,
    p_value,
)
from lm_eval_dispersion.runs import Value, plain

Interval = tuple[float, float]

# Below, Student's t stands on too little to be taken at its word.
FEW = 20
# More models than these have more pairs than anybody reads.
_ALL_PAIRS = 4
# A progress bar is worth its line from here on.
_SECONDS = 2


@dataclass(frozen=True)
class Difference:
    """The second model's value minus the first's, over the same documents."""

    value: float
    stderr: float | None
    documents: int
    interval: Interval | None
    """95 %, simultaneous over all pairs of models (Bonferroni)."""
    p: float | None
    """Adjusted for all pairs of models (Holm)."""
    needed: int | None
    """Documents that would tell such a difference from none; None where there is no telling."""

    @property
    def told(self) -> bool:
        """Whether it is more than chance, at 5 % for all pairs together."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Model:
    """One model on the text."""

    label: str
    entry: Entry
    bits: Value
    """Per byte, as lm_eval gave them; the standard error is of the logged documents."""
    interval: Interval | None
    """95 %, of these bits per byte by themselves."""
    place: tuple[int, int] | None
    """Best and worst place that the paired differences leave it, (1, 1) for the best; None where it is in no pair."""
    samples: Path | None


@dataclass(frozen=True)
class Pair:
    """Two models, the one with fewer bits per byte first."""

    first: str
    second: str
    bits: Difference | None
    """Bits per byte; None where they have no document in common."""
    dispersion: Difference | None
    why: str | None
    """Why there is no difference of D."""


@dataclass(frozen=True)
class Comparison:
    """All models on one text."""

    corpus: str
    hash: str
    how: str
    """What was measured."""
    documents: int
    models: list[Model]
    """By bits per byte, the fewest first; those without come last."""
    pairs: list[Pair]
    """Every two of those with bits per byte and logged samples."""

    def shown(self) -> list[tuple[str | None, list[Pair]]]:
        """The pairs that a person reads, in parts: against one model, or (None) each against the one before it.

        Of many models these are those against the best and the neighbours; p and intervals are for all pairs in any
        case, since which of them are shown was found out by looking.
        """
        ranked = [model.label for model in self.models if model.place]
        if len(ranked) <= _ALL_PAIRS:
            return [(first, [p for p in self.pairs if p.first == first]) for first in ranked[:-1]]
        neighbours = dict(zip(ranked[2:], ranked[1:], strict=False))
        return [
            (ranked[0], [p for p in self.pairs if p.first == ranked[0]]),
            (None, [p for p in self.pairs if neighbours.get(p.second) == p.first]),
        ]


def compare(entries: Sequence[Entry], labels: Sequence[str]) -> Comparison:
    """Of runs whose definition and text are the same, the statistics; reads their samples.

    Raises:
        TaskError: for a file of samples that cannot be read.
    """
    read = {}
    unplaced = []
    for entry, label in zip(entries, labels, strict=True):
        bits, samples = entry.bits_per_byte, entry.run.samples(entry.task)
        own: Estimate | None = None
        if samples and bits.value is not None:
            read[label] = read_documents(samples)
            own = read[label].bits_per_byte()
        bits = replace(bits, stderr=own.stderr if own else None)
        around = interval(own) if own else None
        unplaced.append(Model(label, entry, bits, around, None, samples))
    unplaced.sort(key=lambda model: (model.bits.value is None, model.bits.value or 0.0))
    pairs = _pairs([model for model in unplaced if model.label in read], read)
    first = entries[0]
    return Comparison(
        corpus=first.corpus,
        hash=first.hash,
        how=", ".join((how_measured(first) or ())[:3]),
        documents=first.measured.counts["documents"],
        models=[_placed(model, pairs) for model in unplaced],
        pairs=pairs,
    )


def _pairs(models: Sequence[Model], read: dict[str, Documents]) -> list[Pair]:
    found = []
    every = list(combinations(models, 2))
    for one, other in tqdm(every, desc="pairs", delay=_SECONDS):
        a, b = read[one.label], read[other.label]
        why = why_no_dispersion(one.entry, other.entry) or _undefined(one) or _undefined(other)
        d = None if why else dispersion_apart(a, b)
        why = why or (None if d else "no window in common")
        found.append((one.label, other.label, bits_apart(a, b), d, why))
    bits = _adjusted([pair[2] for pair in found])
    dispersion = _adjusted([pair[3] for pair in found])
    return [
        Pair(first, second, b, d, why) for (first, second, _, _, why), b, d in zip(found, bits, dispersion, strict=True)
    ]


def _undefined(model: Model) -> str | None:
    within = model.entry.measured.within
    return f"{model.label} has none ({plain(within.why)})" if within.value is None else None


def _adjusted(found: Sequence[Estimate | None]) -> list[Difference | None]:
    """For their number."""
    p = [None if one is None else p_value(one) for one in found]
    comparisons = sum(one is not None for one in p)
    adjusted = iter(holm([one for one in p if one is not None]))
    return [
        None
        if one is None
        else Difference(
            one.value,
            one.stderr,
            one.documents,
            interval(one, comparisons),
            None if single is None else next(adjusted),
            documents_needed(one, comparisons),
        )
        for one, single in zip(found, p, strict=True)
    ]


def _placed(model: Model, pairs: Sequence[Pair]) -> Model:
    mine = [pair for pair in pairs if model.label in (pair.first, pair.second)]
    if not mine:
        return model
    better = worse = 0
    for pair in mine:
        if pair.bits and pair.bits.told:
            # Of all documents the first has fewer bits per byte; of those in common the second may.
            ahead = pair.first if pair.bits.value > 0 else pair.second
            better, worse = better + (ahead != model.label), worse + (ahead == model.label)
    return replace(model, place=(1 + better, 1 + len(mine) - worse))
