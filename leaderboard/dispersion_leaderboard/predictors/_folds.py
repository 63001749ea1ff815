"""Least squares with whole groups left out, in closed form: the sums of a group are taken from the sums of all.

Equal to scikit-learn's ``cross_val_predict`` of the same estimator with ``LeaveOneGroupOut`` (tested), at the cost of
one fit instead of one a group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from dispersion_leaderboard.predictors._observations import Floats, Integers

# Below this share of a feature's variance a fold is close to singular: sums of squares lose half the digits.
_ILL = 1e-6
_CONSTANT = 1e-12


def sums_by_group(values: Floats, groups: Integers, count: int) -> Floats:
    """[n, ...] -> [count, ...]."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=count)
    found = np.zeros((count, *values.shape[1:]))
    filled = np.flatnonzero(sizes)
    if len(filled):
        found[filled] = np.add.reduceat(values[order], (np.cumsum(sizes) - sizes)[filled], axis=0)
    return found


def leave_out(x: Floats, y: Floats, groups: Integers) -> Floats:
    """Predictions of every row by ordinary least squares on the rows of the other groups.

    Args:
        x: [n, features]; without features, the mean.
        y: [n].
        groups: [n] codes from 0.
    """
    return _leave_out(x, y, groups)[0]


def leave_out_joint(common: Floats, candidates: Floats, y: Floats, groups: Integers) -> Floats:
    """Likewise by ``common`` and the one candidate column that fits the other groups best beside it."""
    found = [_leave_out(np.column_stack([common, c]), y, groups) for c in candidates.T]
    best = np.argmin([error for _, error in found], axis=0)
    return np.asarray(np.stack([prediction for prediction, _ in found])[best[groups], np.arange(len(y))])


def _leave_out(x: Floats, y: Floats, groups: Integers) -> tuple[Floats, Floats]:
    """Predictions [n], and the squared error on its training rows of every group's fit."""
    x = x[:, np.ptp(x, axis=0) > 0]
    count, features = int(groups.max()) + 1, x.shape[1]
    centre, scale, level = x.mean(0), x.std(0), y.mean()
    z = (x - centre) / scale
    columns = np.column_stack([np.ones(len(y)), z, y - level])
    by_group = sums_by_group(columns[:, :, None] * columns[:, None, :], groups, count)
    rest = by_group.sum(0) - by_group
    n = rest[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = rest[:, 0, 1:] / n[:, None]
        about_mean = rest[:, 1:, 1:] - n[:, None, None] * mean[:, :, None] * mean[:, None, :]
    prediction = level + mean[groups, features]
    error = about_mean[:, features, features].copy()
    if not features:
        return prediction, error
    solvable = n > features
    spread = np.linalg.eigvalsh(about_mean[solvable][:, :features, :features])
    solvable[solvable] = spread[:, 0] > _ILL * n[solvable]
    slopes = np.zeros((count, features))
    inner = about_mean[solvable]
    slopes[solvable] = np.linalg.solve(inner[:, :features, :features], inner[:, :features, features:])[:, :, 0]
    prediction = prediction + ((z - mean[groups, :features]) * slopes[groups]).sum(1)
    error[solvable] -= (slopes[solvable] * inner[:, :features, features]).sum(1)
    for group in np.flatnonzero(~solvable & (n > 0)):
        held = groups == group
        fitted = LinearRegression().fit(x[~held], y[~held])
        prediction[held] = fitted.predict(x[held])
        error[group] = ((fitted.predict(x[~held]) - y[~held]) ** 2).sum()
    return prediction, error


def leave_out_best(x: Floats, y: Floats, groups: Integers) -> Floats:
    """Likewise by the one column that fits the other groups best (:class:`BestFeature`): chosen inside each fold."""
    count = int(groups.max()) + 1
    z, v = _standard(x), y - y.mean()
    sums = [sums_by_group(s, groups, count) for s in (np.ones((len(y), 1)), z, v[:, None], z * z, z * v[:, None])]
    with np.errstate(divide="ignore", invalid="ignore"):
        n, sz, sv, szz, szv = (s.sum(0) - s for s in sums)
        slope, gain = _slopes(n, sz, sv, szz, szv)
        best = np.argmax(gain, axis=1)
        fold = np.arange(count)
        slope, mean = slope[fold, best], (sz / n)[fold, best]
        level = (sv / n)[:, 0] + y.mean()
    return np.asarray(level[groups] + slope[groups] * (z[np.arange(len(y)), best[groups]] - mean[groups]))


def _standard(x: Floats) -> Floats:
    scale = x.std(0)
    return np.asarray((x - x.mean(0)) / np.where(scale > 0, scale, 1))


def _slopes(n: Floats, sz: Floats, sv: Floats, szz: Floats, szv: Floats) -> tuple[Floats, Floats]:
    """Slope of every column alone, and by how much it lowers the sum of squares."""
    spread, joint = szz - sz * sz / n, szv - sz * sv / n
    flat = spread <= _CONSTANT * n
    slope = np.where(flat, 0.0, joint / np.where(flat, 1, spread))
    return slope, slope * joint


class BestFeature(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Least squares on the one feature with the least squared error on the training rows.

    All candidates have one slope, so the training error compares them without a penalty; what the choice costs shows
    on the rows left out.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> BestFeature:
        """Chooses and fits."""
        x, target = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        z, v = _standard(x), target - target.mean()
        n = np.array([[float(len(x))]])
        sums = (np.sum(s, axis=0, keepdims=True) for s in (z, v[:, None], z * z, z * v[:, None]))
        self.column_ = int(np.argmax(_slopes(n, *sums)[1]))
        self.regression_ = LinearRegression().fit(x[:, [self.column_]], target)
        self.n_features_in_ = x.shape[1]
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """By the chosen feature."""
        return np.asarray(self.regression_.predict(np.asarray(X, dtype=float)[:, [self.column_]]))
