"""What the record says of right and wrong answers' vectors: computed when the run is over, and numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lm_eval_dispersion.geometry import LEVELS, SEEDS, Classes, Estimate, StratumSums, classes
from lm_eval_dispersion.record._recording import Recording
from lm_eval_dispersion.record._summary import number

# Fewer say nothing of a class, or of a hundred and more vectors of thousands of components.
_LEAST, _LEAST_OF_A_CLASS = 20, 10
# Numbers of all vectors that are compared: 1 GiB.
_MOST = 2**28
# Strata of a kind; more are no strata (a number of its own for each document), and their Gram matrix is not written.
_STRATA, _STRATA_WITH_GRAM = 100, 12
_SEED = 0


@dataclass
class Marked:
    """Documents that lm_eval has marked right or wrong."""

    metric: str
    """The metric of lm_eval's that is 1 where an answer is right, and 0 where it is wrong."""
    filter: str
    right: dict[int, bool]
    """By document."""
    strata: dict[str, dict[int, str]] = field(default_factory=dict)
    """By kind (subject, answer) and document, as far as they have one."""


def slices(recording: Recording, marked: Marked) -> dict[str, Any]:
    """``record.schema.json`` describes it.

    Raises:
        ValueError: with the reason where there is nothing to say.
    """
    documents, left_out = _measured(recording, marked)
    right = np.array([marked.right[document] for document in documents], dtype=bool)
    _refuse(right, marked)
    assert recording.sums.vectors is not None
    vectors = recording.sums.vectors.of(documents)
    if vectors.size > _MOST:
        raise ValueError(f"{vectors.shape[0]:,} vectors of {vectors.shape[1]:,} components are more than are compared")
    has = np.einsum("nd,nd->n", vectors, vectors) > 0.5  # a unit vector, or none
    if not has.all():
        documents = [document for document, one in zip(documents, has, strict=True) if one]
        vectors, right, left_out = vectors[has], right[has], left_out + int((~has).sum())
        _refuse(right, marked, f" ({(~has).sum():,} others' vectors are zero or not finite)")
    found = classes(vectors, right, _strata(documents, marked, recording), seed=_SEED)
    return {
        "undefined": None,
        "metric": marked.metric,
        "filter": marked.filter,
        "layer": recording.shown[-1],
        "left_out": left_out,
        "seed": _SEED,
        "seeds": SEEDS,
        **_numbers(found),
    }


def _measured(recording: Recording, marked: Marked) -> tuple[list[int], int]:
    """The documents with a mark and a vector, and how many have but one of them."""
    if recording.undefined:
        raise ValueError(recording.undefined)
    if cached := recording.counts["cached_answers"]:
        raise ValueError(f"{cached:,} answers came from --use_cache, which keeps no vectors")
    if recording.sums.vectors is None:
        raise ValueError("the run had several processes, each of which knows the answers to its own documents alone")
    counts = recording.sums.vectors.counts
    if not counts:
        raise ValueError(recording.why_undefined(prompts=True) or "no document has a vector")
    if any(count > 1 for count in counts.values()):
        raise ValueError("its documents have several contexts each, and none of them one last vector")
    documents = sorted(counts.keys() & marked.right.keys())
    return documents, len(counts.keys() | marked.right.keys()) - len(documents)


def _refuse(right: Any, marked: Marked, others: str = "") -> None:
    n, rights = len(right), int(right.sum())
    if n < _LEAST:
        raise ValueError(f"{n} documents with a vector and an answer{others}; at least {_LEAST}")
    if min(rights, n - rights) < _LEAST_OF_A_CLASS:
        raise ValueError(
            f"{rights} of {n} answers are right by {marked.metric}{others}; at least {_LEAST_OF_A_CLASS} right and "
            f"{_LEAST_OF_A_CLASS} wrong"
        )


def _strata(documents: list[int], marked: Marked, recording: Recording) -> dict[str, list[str]]:
    """By kind, a label for each document; of the kinds that divide them."""
    found = {
        kind: [labels[document] for document in documents]
        for kind, labels in marked.strata.items()
        if all(document in labels for document in documents)
    }
    lengths = np.array([sum(s.vectors for s in recording.segments.get(document, ())) for document in documents])
    found["length"] = _thirds(lengths)
    return {kind: of for kind, of in found.items() if 2 <= len(set(of)) <= min(_STRATA, len(documents) // 2)}


def _thirds(lengths: Any) -> list[str]:
    low, high = (int(cut) for cut in np.quantile(lengths, [1 / 3, 2 / 3], method="inverted_cdf"))
    names = (f"up to {low} tokens", f"{low + 1} to {high} tokens", f"more than {high} tokens")
    return [names[int(length > low) + int(length > high)] for length in lengths]


def _numbers(found: Classes) -> dict[str, Any]:
    spread = found.slices.std(0, ddof=1) / np.sqrt(SEEDS)
    return {
        "right": found.right,
        "wrong": found.wrong,
        "cosines": dict(zip(("right", "between", "wrong"), map(_estimate, found.cosines), strict=True)),
        "difference": _estimate(found.difference),
        "rises": found.rises,
        "size": found.size,
        "curve": {
            "right": [level / (LEVELS - 1) for level in range(LEVELS)],
            "expected": [number(one.value) for one in found.curve],
            "low": [number(one.low) for one in found.curve],
            "high": [number(one.high) for one in found.curve],
            "slices": [number(d) for d in found.slices.mean(0)],
            "slices_stderr": [number(d) for d in spread],
        },
        "permutations": [
            {
                "within": list(one.within),
                "strata": one.strata,
                "shuffled": one.shuffled,
                "mean": number(one.mean),
                "p": number(one.p),
            }
            for one in found.permutations
        ],
        "monotone": found.monotone,
        "resamples": found.resamples,
        "strata": {kind: _sums(one) for kind, one in found.strata.items()},
    }


def _estimate(one: Estimate) -> dict[str, float | None]:
    return {"value": number(one.value), "low": number(one.low), "high": number(one.high)}


def _sums(one: StratumSums) -> Mapping[str, Any]:
    few = len(one.labels) <= _STRATA_WITH_GRAM
    gram = [[number(value) for value in row] for row in one.gram] if few else None
    return {"labels": one.labels, "right": one.counts[:, 0].tolist(), "wrong": one.counts[:, 1].tolist(), "gram": gram}
