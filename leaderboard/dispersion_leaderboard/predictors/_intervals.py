"""Prediction intervals for a model of a family not seen: cross-conformal, the jackknife+ over families (MAPIE).

Barber, Candes, Ramdas and Tibshirani, *Predictive inference with the jackknife+* (2021): nominal 90 % is guaranteed to
hold 80 % where units are exchangeable. Models of a family are not, so the coverage is measured on families left out.
"""

from __future__ import annotations

import numpy as np
from mapie.regression import CrossConformalRegressor
from sklearn.model_selection import BaseCrossValidator, GroupKFold, LeaveOneGroupOut

from dispersion_leaderboard.predictors._observations import Floats
from dispersion_leaderboard.predictors._rows import Rows

LEVEL = 0.9
LEAST_MODELS = 10
_FAMILIES_ONE_BY_ONE = 20
_FOLDS = 10
_CELLS_AT_ONCE = 1_000_000


def folds(families: int) -> BaseCrossValidator:
    """Each family alone up to twenty of them, tenths of the families beyond."""
    return LeaveOneGroupOut() if families <= _FAMILIES_ONE_BY_ONE else GroupKFold(_FOLDS)


def intervals(rows: Rows, new: Floats) -> tuple[Floats, Floats]:
    """Ends of the interval, as targets, for features of models of a family that ``rows`` do not hold."""
    low, high = np.full(len(new), np.nan), np.full(len(new), np.nan)
    if len(rows.target) < LEAST_MODELS or rows.n_families < 2 or not len(new):
        return low, high
    conformal = CrossConformalRegressor(
        estimator=rows.estimator(), confidence_level=LEVEL, method="plus", cv=folds(rows.n_families)
    )
    conformal.fit_conformalize(rows.features, rows.target, groups=rows.families)
    # MAPIE lays out every new row against every row fitted.
    step = max(1, _CELLS_AT_ONCE // len(rows.target))
    for start in range(0, len(new), step):
        part = slice(start, start + step)
        ends = conformal.predict_interval(new[part])[1]
        low[part], high[part] = ends[:, 0, 0], ends[:, 1, 0]
    return low, high


def held_out_intervals(rows: Rows) -> tuple[Floats, Floats]:
    """Likewise for the rows themselves, from the others: its own family has no part in its interval."""
    low, high = np.full(len(rows.target), np.nan), np.full(len(rows.target), np.nan)
    if rows.n_families < 3:
        return low, high
    for kept, held in folds(rows.n_families).split(rows.features, groups=rows.families):
        low[held], high[held] = intervals(rows.take(kept), rows.features[held])
    return low, high


def least_models(rows: Rows) -> str:
    """Why there are no intervals; empty where there are."""
    if len(rows.target) < LEAST_MODELS:
        return f"{len(rows.target)} models, and an interval at {100 * LEVEL:.0f} % needs {LEAST_MODELS}"
    return ""
