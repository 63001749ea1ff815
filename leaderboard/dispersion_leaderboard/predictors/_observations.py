"""What the predictors learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Signal:
    """One number (or one profile) an entry, known without its accuracy on the benchmark at hand."""

    label: str
    """As shown: ``D wiki, last layer``, ``log parameters``."""
    kind: str
    """``dispersion``, ``perplexity``, ``confidence``, ``likelihood``, ``geometry``, ``gap``, ``size``, ``compute``,
    ``benchmark``, or ``unfitted``: an accuracy as it was predicted, which nothing is fitted to."""
    values: Floats
    """[n], or [n, depths] for a profile on a common grid of relative depths from 0 to 1; NaN where missing."""
    group: str
    """What belongs together, such as the corpus; empty otherwise. The first [n] dispersion of a group stands for it in
    combinations."""


@dataclass(frozen=True)
class Observations:
    """One labelled task: who was measured, and what is known of everybody."""

    task: str
    """As shown."""
    entries: tuple[str, ...]
    """[n] ids; an entry is a model in one configuration."""
    family: tuple[str, ...]
    """[n]"""
    tokenizer: tuple[str, ...]
    """[n]"""
    accuracy: Floats
    """[n] fractions; NaN where not measured."""
    items: Floats
    """[n] scored documents; NaN where not known (then taken as 100)."""
    chance: float | None
    """Accuracy of guessing; None where not known (then taken as 0)."""
    signals: dict[str, Signal]
    """Candidates by a name of the caller's."""


@dataclass(frozen=True)
class DomainObservations:
    """Many domains, such as the subjects of MMLU: accuracy and the D of the prompts, by model and domain."""

    name: str
    """As shown."""
    entries: tuple[str, ...]
    """[n]"""
    family: tuple[str, ...]
    """[n]"""
    domains: tuple[str, ...]
    """[k]"""
    dispersion: Floats
    """[n, k] at the last layer; NaN where missing."""
    accuracy: Floats
    """[n, k] fractions; NaN where not measured."""
    items: Floats
    """[n, k] scored documents; NaN where not known."""
    chance: Floats
    """[k]; NaN where not known."""
    log_parameters: Floats
    """[n]; NaN where not known."""
    confidence: Floats | None = None
    """[n, k] mean confidence in the answers; NaN where missing."""
