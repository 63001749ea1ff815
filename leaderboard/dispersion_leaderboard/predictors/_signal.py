"""One predictor of one benchmark, validated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dispersion_leaderboard.predictors._folds import leave_out, sums_by_group
from dispersion_leaderboard.predictors._intervals import intervals
from dispersion_leaderboard.predictors._observations import Floats, Integers
from dispersion_leaderboard.predictors._results import Curve, Estimate, Scores
from dispersion_leaderboard.predictors._rows import Rows
from dispersion_leaderboard.predictors._scores import mean_by_family, scores
from dispersion_leaderboard.predictors._target import to_accuracy

_CURVE_POINTS = 40


@dataclass(frozen=True)
class Validated:
    """What a row of models says of one predictor."""

    by_model: Scores
    by_family: Scores
    baseline_mae: Estimate
    gain: Estimate
    held_out: Floats
    """[n] fractions, the family left out."""
    loss_difference: Floats
    """[n] points; absolute error less that of the mean."""
    chosen: int
    """Column chosen on all rows; -1 where none is."""
    curve: Curve | None


def validate(rows: Rows) -> Validated:
    """Fits and scores a predictor."""
    every = np.arange(len(rows.target))
    by_model = to_accuracy(rows.held_out(every), rows.chance)
    by_family = to_accuracy(rows.held_out(rows.families), rows.chance)
    mean = _mean(rows, rows.families)
    error, baseline = (100 * np.abs(p - rows.accuracy) for p in (by_family, mean))
    fitted = rows.estimator().fit(rows.features, rows.target) if rows.choose else None
    return Validated(
        by_model=scores(rows.accuracy, by_model, rows.families),
        by_family=scores(rows.accuracy, by_family, rows.families),
        baseline_mae=mean_by_family(baseline, rows.families),
        gain=mean_by_family(error - baseline, rows.families),
        held_out=by_family,
        loss_difference=error - baseline,
        chosen=fitted.column_ if fitted is not None else -1,
        curve=_curve(rows) if rows.features.shape[1] == 1 else None,
    )


def validate_as_given(rows: Rows) -> Validated:
    """Scores a feature that is itself a predicted accuracy: it knows nothing of the other models to leave out."""
    predicted = rows.features[:, 0]
    error, baseline = (100 * np.abs(p - rows.accuracy) for p in (predicted, _mean(rows, rows.families)))
    scored = scores(rows.accuracy, predicted, rows.families)
    return Validated(
        by_model=scored,
        by_family=scored,
        baseline_mae=mean_by_family(baseline, rows.families),
        gain=mean_by_family(error - baseline, rows.families),
        held_out=predicted,
        loss_difference=error - baseline,
        chosen=-1,
        curve=None,
    )


def validate_mean(rows: Rows, of_family: bool) -> Validated:
    """The baselines without features.

    Args:
        rows: with any features.
        of_family: the mean of the model's own family, where that has another model; of a family left out nothing is
            known but the mean of the others.
    """
    every = np.arange(len(rows.target))
    mean = _mean(rows, rows.families)
    by_model = _family_mean(rows) if of_family else _mean(rows, every)
    error = 100 * np.abs(mean - rows.accuracy)
    none = np.zeros(len(error))
    return Validated(
        by_model=scores(rows.accuracy, by_model, rows.families, ordered=of_family),
        by_family=scores(rows.accuracy, mean, rows.families, ordered=False),
        baseline_mae=mean_by_family(error, rows.families),
        gain=Estimate(0.0, math.nan, math.nan, "this is the mean"),
        held_out=mean,
        loss_difference=none,
        chosen=-1,
        curve=None,
    )


def _mean(rows: Rows, groups: Integers) -> Floats:
    """Of accuracies and not of their logits, which a few models at chance drag down: a worse baseline flatters."""
    return leave_out(np.empty((len(groups), 0)), rows.accuracy, groups)


def _family_mean(rows: Rows) -> Floats:
    sizes = np.bincount(rows.families)[rows.families]
    others = sums_by_group(rows.accuracy[:, None], rows.families, rows.n_families)[rows.families, 0] - rows.accuracy
    of_all = (rows.accuracy.sum() - rows.accuracy) / (len(rows.accuracy) - 1)
    return np.asarray(np.where(sizes > 1, others / np.maximum(sizes - 1, 1), of_all))


def _curve(rows: Rows) -> Curve:
    x = np.linspace(rows.features.min(), rows.features.max(), _CURVE_POINTS)[:, None]
    predicted = rows.estimator().fit(rows.features, rows.target).predict(x)
    low, high = intervals(rows, x)
    ends = (tuple(map(float, to_accuracy(v, rows.chance))) for v in (predicted, low, high))
    return Curve(tuple(map(float, x[:, 0])), *ends)
