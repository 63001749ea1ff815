"""The models on which one predictor is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from dispersion_leaderboard.predictors._folds import BestFeature, leave_out, leave_out_best
from dispersion_leaderboard.predictors._observations import Floats, Integers


@dataclass(frozen=True)
class Rows:
    """Complete rows: every model here has the target and all features."""

    features: Floats
    """[n, p]"""
    choose: bool
    """Whether one feature is chosen among the p, rather than all used."""
    target: Floats
    """[n] on the logit scale."""
    accuracy: Floats
    """[n] fractions."""
    families: Integers
    """[n] codes from 0, in the order of the families' names."""
    chance: float

    @property
    def n_families(self) -> int:
        """How many whole families."""
        return int(self.families.max()) + 1

    def estimator(self) -> BaseEstimator:
        """An unfitted scikit-learn estimator of this kind."""
        return BestFeature() if self.choose else LinearRegression()

    def held_out(self, groups: Integers) -> Floats:
        """Predicted targets, each group left out."""
        leave = leave_out_best if self.choose else leave_out
        return leave(self.features, self.target, groups)

    def take(self, kept: Integers) -> Rows:
        """Some of the rows."""
        families = np.unique(self.families[kept], return_inverse=True)[1]
        return Rows(self.features[kept], self.choose, self.target[kept], self.accuracy[kept], families, self.chance)
