"""Observations with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from dispersion_leaderboard.predictors import DomainObservations, Observations, Signal
from scipy.special import expit

CHANCE = 0.25
SEEDS = [12, pytest.param(40, marks=pytest.mark.slow)]
"""How often a truth is planted anew where rates are asked about: enough to notice, and enough to be sure."""


def observations(truth: str, seed: int, models: int = 60, families: int = 12, depths: int = 21) -> Observations:
    """``d``: accuracy follows D. ``none``: nothing does. ``size``: accuracy and D both follow size."""
    rng = np.random.default_rng(seed)
    family = rng.integers(0, families, models)
    family[:families] = np.arange(families)

    def spread(within: float, between: float) -> np.ndarray:
        return within * rng.normal(size=models) + between * rng.normal(size=families)[family]

    size, d, perplexity = spread(1, 1), spread(1, 1), spread(1, 1)
    logit = {"d": 1.5 * d + spread(0.3, 0.2), "none": spread(0.5, 1), "size": 1.2 * size + spread(0.5, 0.4)}[truth]
    if truth == "size":
        d = size + spread(0.5, 0.4)
    profile = rng.normal(size=(models, depths)) + rng.normal(size=(families, depths))[family]
    if truth == "d":
        profile[:, depths * 2 // 3] = d
    accuracy = CHANCE + (1 - CHANCE) * expit(logit)
    signals = [
        Signal("D text, last layer", "dispersion", d, "text"),
        Signal("D text, best layer", "dispersion", profile, "text"),
        Signal("bits per byte, text", "perplexity", perplexity, "text"),
        Signal("log parameters", "size", size, ""),
        Signal("accuracy on A", "benchmark", expit(logit + spread(2, 0)), ""),
        Signal("accuracy on B", "benchmark", expit(logit + spread(0.2, 0)), ""),
    ]
    return Observations(
        task="Task",
        entries=tuple(f"model {i:04d}" for i in range(models)),
        family=tuple(f"family {i:03d}" for i in family),
        tokenizer=tuple(f"tokenizer {i % 4}" for i in family),
        accuracy=accuracy,
        items=np.full(models, 1000.0),
        chance=CHANCE,
        signals={s.label: s for s in signals},
    )


def domains(slope: float, seed: int, models: int = 6, families: int = 3, count: int = 30) -> DomainObservations:
    """A model's D is high where its accuracy is, by ``slope``; models differ in both for reasons of their own."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=count)
    noise = rng.normal(size=(3, models, count))
    logit = rng.normal(size=(models, 1)) + slope * shared + 0.3 * noise[0] + 0.3 * rng.normal(size=count)
    return DomainObservations(
        name="Subjects",
        entries=tuple(f"model {i}" for i in range(models)),
        family=tuple(f"family {i % families}" for i in range(models)),
        domains=tuple(f"domain {j:02d}" for j in range(count)),
        dispersion=0.5 + 0.1 * (shared + 0.2 * noise[1] + rng.normal(size=(models, 1))),
        accuracy=CHANCE + (1 - CHANCE) * expit(logit),
        items=np.full((models, count), 200.0),
        chance=np.full(count, CHANCE),
        log_parameters=rng.normal(size=models),
    )


def rejections_allowed(trials: int, level: float = 0.05) -> int:
    """More than so many false positives has a probability under 1 in 1,000 where the level is kept."""
    from scipy.stats import binom

    return int(binom.ppf(0.999, trials, level))
