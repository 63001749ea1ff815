"""Several tasks of one run taken together, as the subjects of MMLU are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from lm_eval_dispersion.slices._read import Slices


@dataclass(frozen=True)
class OverTasks:
    """The difference |m_w|^2 - |m_c|^2, averaged over tasks, each of which counts alike."""

    tasks: int
    mean: float
    stderr: float
    """Over tasks: of another sample of such tasks, not of documents."""
    low: float
    """95 % by Student's t with ``tasks`` - 1 degrees of freedom."""
    high: float
    positive: int
    """In how many of them it is above zero."""


def over_tasks(found: Sequence[Slices]) -> OverTasks | None:
    """None for fewer than two.

    Raises:
        ValueError: in one line, where they are of several definitions.
    """
    if len(found) < 2:
        return None
    definitions = {one.definition for one in found}
    if len(definitions) > 1:
        named = ", ".join(sorted(f"version {version} at h[{layer}]" for version, layer in definitions))
        raise ValueError(f"no statement over tasks: their definitions differ ({named})")
    from scipy.stats import t

    differences = [one.difference.value for one in found]
    centre, error = mean(differences), stdev(differences) / math.sqrt(len(found))
    reach = float(t.ppf(0.975, len(found) - 1)) * error
    positive = sum(difference > 0 for difference in differences)
    return OverTasks(len(found), centre, error, centre - reach, centre + reach, positive)
