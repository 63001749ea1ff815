"""From a recording to the few numbers a results file shows in its table."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.geometry import Correlation, Within

if TYPE_CHECKING:
    from lm_eval_dispersion.record._recording import Recording

Floats = NDArray[np.float64]


class Summary:
    """The aggregates of one finished recording, each computed once."""

    def __init__(self, recording: Recording, prompts: bool) -> None:
        if recording.undefined:  # of a part of the documents there may be numbers, which are not the task's
            recording = recording.emptied(recording.undefined)
        self.recording, self.prompts = recording, prompts

    @cached_property
    def within(self) -> Within:
        """D inside segments."""
        return self.recording.within(self.prompts)

    @property
    def _lacks_vectors(self) -> bool:
        return bool(self.recording.undefined or self.recording.counts["cached_answers"])

    @cached_property
    def across(self) -> tuple[Floats, Floats] | None:
        """D over pairs of segments or prompts; None where some of their vectors were not at hand (cache)."""
        return None if self._lacks_vectors else self.recording.sums.across.dispersion()

    @cached_property
    def all_pairs(self) -> tuple[Floats, Floats] | None:
        """D over all pairs of vectors of the corpus; None likewise, and for labelled tasks."""
        if self.prompts or self._lacks_vectors:
            return None
        return self.recording.sums.all_pairs.dispersion()

    @cached_property
    def correlation(self) -> Correlation | None:
        """With log-perplexity; None for labelled tasks."""
        return None if self.prompts else self.recording.correlation()

    def last_layer(self, name: str) -> tuple[float | None, float | None]:
        """(value, standard error) of a metric at the last hidden state; None where undefined."""
        pair: tuple[Floats, Floats] | None
        if name == "dispersion":
            pair = (self.within.mean, self.within.stderr)
        elif name == "dispersion_across":
            pair = self.across
        else:
            kind: Literal["pearson", "spearman"] = "pearson" if name.endswith("pearson") else "spearman"
            found = self.correlation
            pair = (getattr(found, kind), getattr(found, f"{kind}_stderr")) if found else None
        if pair is None or not len(pair[0]):
            return None, None
        return number(pair[0][-1]), number(pair[1][-1])


def number(value: float) -> float | None:
    """A JSON number; null for NaN and infinity."""
    return float(value) if math.isfinite(value) else None
