"""Accuracy over chance on a scale without walls, and back."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from dispersion_leaderboard.predictors._observations import Floats

_UNKNOWN_ITEMS = 100.0


def items_or_default(items: Floats) -> Floats:
    """The number of scored documents; 100 where it is not known."""
    known: Floats = np.where(np.isfinite(items) & (items >= 1), items, _UNKNOWN_ITEMS)
    return known


def to_target(accuracy: Floats, items: Floats, chance: Floats | float) -> Floats:
    """Logit of ``(accuracy - chance) / (1 - chance)``, clipped 1/(2n) from 0 and 1: n answers cannot tell more."""
    least = 1 / (2 * items_or_default(items))
    target: Floats = logit(np.clip((accuracy - chance) / (1 - np.asarray(chance)), least, 1 - least))
    return target


def to_accuracy(target: Floats, chance: Floats | float) -> Floats:
    """The way back; never below chance."""
    accuracy: Floats = chance + (1 - np.asarray(chance)) * expit(target)
    return accuracy


def checked_chance(task: str, chance: float | None) -> float:
    """Chance as a number.

    Raises:
        SystemExit: where it is none, which an override file can do.
    """
    if chance is None or np.isnan(chance):
        return 0.0
    if not 0 <= chance < 1:
        raise SystemExit(f"leaderboard: chance level of {task} is {chance}; it has to be from 0 to below 1")
    return float(chance)


def at_chance(accuracy: Floats, items: Floats, chance: Floats | float) -> float:
    """Share of models that do not stand two standard errors above chance."""
    error = np.sqrt(chance * (1 - chance) / items_or_default(items))
    return float((accuracy <= chance + 2 * error).mean())
