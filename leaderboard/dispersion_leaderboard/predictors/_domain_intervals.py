"""Prediction intervals for a domain not seen, cross-conformal over domains (MAPIE)."""

from __future__ import annotations

import numpy as np
from mapie.regression import CrossConformalRegressor
from sklearn.linear_model import LinearRegression

from dispersion_leaderboard.predictors._cells import Cells, OwnMeanAndSlope
from dispersion_leaderboard.predictors._intervals import LEAST_MODELS, LEVEL, folds
from dispersion_leaderboard.predictors._observations import Floats, Integers
from dispersion_leaderboard.predictors._target import to_accuracy

_MOST_ROWS = 2000


def design(name: str, c: Cells) -> tuple[Floats, OwnMeanAndSlope | LinearRegression]:
    """Features and unfitted estimator of a D signal."""
    if name == "d-model-mean":
        return np.column_stack([c.model, c.d]), OwnMeanAndSlope()
    columns = [c.d, c.log_parameters] if name == "d-parameters" else [c.d]
    return np.column_stack(columns), LinearRegression()


def thinned(c: Cells, keep: int | None = None) -> Cells:
    """At most about 2,000 rows: whole models, spread evenly over the ids, ``keep`` among them."""
    models = np.unique(c.model)
    most = max(1, _MOST_ROWS // c.counts[2])
    if len(models) > most:
        chosen = models[np.linspace(0, len(models) - 1, most).round().astype(int)]
        if keep is not None and keep not in chosen and keep in models:
            chosen[0] = keep
        models = chosen
    return c.take(np.flatnonzero(np.isin(c.model, models)))


def domain_intervals(name: str, c: Cells, groups: Integers, new: Floats) -> tuple[Floats, Floats]:
    """Ends, as targets, for new rows of a group (a domain, or a family) that ``c`` does not hold."""
    x, estimator = design(name, c)
    if int(groups.max()) + 1 < 2 or len(x) < LEAST_MODELS:
        return np.full(len(new), np.nan), np.full(len(new), np.nan)
    conformal = CrossConformalRegressor(
        estimator=estimator, confidence_level=LEVEL, method="plus", cv=folds(int(groups.max()) + 1)
    )
    ends = conformal.fit_conformalize(x, c.target, groups=groups).predict_interval(new)[1]
    return ends[:, 0, 0], ends[:, 1, 0]


def held_out_intervals(c: Cells, name: str) -> tuple[Floats, Floats]:
    """Fractions for the cells themselves, each from the other domains; NaN for the models thinned out."""
    low, high = np.full(len(c.d), np.nan), np.full(len(c.d), np.nan)
    rows = np.flatnonzero(np.isin(c.model, np.unique(thinned(c).model)))
    part = c.take(rows)
    x = design(name, part)[0]
    for kept, held in folds(part.counts[2]).split(x, groups=part.domain):
        train = part.take(kept)
        seen = held[np.isin(part.model[held], train.model)]
        a, b = domain_intervals(name, train, train.domain, x[seen])
        low[rows[seen]], high[rows[seen]] = to_accuracy(a, part.chance[seen]), to_accuracy(b, part.chance[seen])
    return low, high
