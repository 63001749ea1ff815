"""Signals beside D: by document as they are logged, and over documents as they stand in the record."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._errors import one_line
from lm_eval_dispersion.geometry import SIGNALS, Within
from lm_eval_dispersion.record._recording import Recording, Segment, mean_by_layer
from lm_eval_dispersion.record._summary import number

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
# A document's, or a window's: a number, or one a layer.
Signals = dict[str, Any]

# Of the answer to a question with choices.
ANSWER_SIGNALS = ("confidence", "confidence_by_length", "margin", "entropy")
_WITH_QUANTILES = ANSWER_SIGNALS[:2]
_PROMPT = "prompt_loglikelihood"


def signals_of_window(recording: Recording, segment: Segment) -> Signals:
    """NAME -> values by layer; null where the window has none."""
    if not _of_gram(recording):
        return {}
    return _by_layer(None if segment.signals is None else segment.signals.astype(np.float64))


def signals_of_document(recording: Recording, document: int, prompts: bool, scored: bool) -> Signals:
    """NAME -> a number, or values by layer: the mean over a document's distinct prompts, or over its windows.

    Args:
        recording: of its task.
        document: its number.
        prompts: whether the task's prompts are measured, or a corpus.
        scored: whether its prompts are scored by log-likelihood.
    """
    segments = recording.segments.get(document, [])
    found: Signals = {_PROMPT: number(_prompt_loglikelihood(segments))} if prompts and scored else {}
    if _of_gram(recording):
        values = _spectra(segments)
        found |= _by_layer(mean_by_layer(values) if len(values) else None)
    return found


def signals_of_task(
    recording: Recording, prompts: bool, scored: bool, answers: Sequence[Signals] | None
) -> dict[str, Any]:
    """The record's ``signals``. What fails here is left out, with a warning: D does not depend on it.

    Args:
        recording: of all processes.
        prompts: whether the task's prompts are measured, or a corpus.
        scored: whether its prompts are scored by log-likelihood.
        answers: each document's, of those of all processes; None where there are no choices to answer with.
    """
    try:
        found = {} if answers is None else _of_answers(answers)
        if prompts and scored:
            found[_PROMPT] = _over_documents(_prompt_loglikelihood(s) for s in recording.segments.values())
        if _of_gram(recording):
            found |= _of_spectra(recording, prompts)
        return found
    except Exception as error:  # the run is over, and its stock numbers are worth more than ours
        logger.warning("the record has no signals beside D (%s)", one_line(error))
        logger.debug("the cause", exc_info=True)
        return {}


def _of_gram(recording: Recording) -> bool:
    return recording.definition is not None and recording.definition.signals == "all"


def _prompt_loglikelihood(segments: Iterable[Segment]) -> float:
    """A token, in nats; NaN where no token of a prompt was predicted."""
    means = [s.loglikelihood / s.tokens for s in segments if s.loglikelihood is not None and s.tokens]
    return float(np.mean(means)) if means else float("nan")


def _spectra(segments: Iterable[Segment]) -> Floats:
    """[segments that have them, signals, layers]."""
    return np.array([s.signals for s in segments if s.signals is not None], dtype=np.float64)


def _by_layer(values: Floats | None) -> Signals:
    """Of [signals, layers]."""
    if values is None:
        return dict.fromkeys(SIGNALS)
    return {name: [number(v) for v in row] for name, row in zip(SIGNALS, values, strict=True)}


def _of_answers(answers: Sequence[Signals]) -> dict[str, Any]:
    found = {}
    for name in ANSWER_SIGNALS:
        values = _finite(answer.get(name) for answer in answers)
        found[name] = _over_documents(values)
        if name in _WITH_QUANTILES:
            quantiles = np.percentile(values, np.arange(101)).tolist() if len(values) else None
            found[name]["quantiles"] = quantiles
    return found


def _finite(values: Iterable[float | None]) -> Floats:
    given = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return given[np.isfinite(given)]


def _over_documents(values: Iterable[float | None]) -> dict[str, Any]:
    some = _finite(values)
    n = len(some)
    mean = float(some.mean()) if n else None
    stderr = float(some.std(ddof=1) / np.sqrt(n)) if n > 1 else None
    return {"layers": None, "mean": mean, "stderr": stderr, "n": n}


def _of_spectra(recording: Recording, prompts: bool) -> dict[str, Any]:
    """Over segments, with standard errors clustered by document; over documents, for prompts: as D inside a segment."""
    layers = recording.signal_layers
    within = Within(len(SIGNALS) * len(layers))
    for document in sorted(recording.segments):
        values = _spectra(recording.segments[document])
        if len(values):
            values = mean_by_layer(values)[None] if prompts else values
            within.add(values.reshape(len(values), -1))
    mean, stderr, n = (v.reshape(len(SIGNALS), len(layers)) for v in (within.mean, within.stderr, within.segments))
    return {
        name: {
            "layers": list(layers),
            "mean": [number(v) for v in mean[i]],
            "stderr": [number(v) for v in stderr[i]],
            "n": n[i].tolist(),
        }
        for i, name in enumerate(SIGNALS)
    }
