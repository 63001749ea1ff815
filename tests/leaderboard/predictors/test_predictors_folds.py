"""Leave-group-out in closed form, against scikit-learn refitting every fold."""

import numpy as np
import pytest
from dispersion_leaderboard.predictors._cells import Cells, OwnMeanAndSlope, leave_domain_and_family
from dispersion_leaderboard.predictors._folds import (
    BestFeature,
    leave_out,
    leave_out_best,
    leave_out_joint,
    sums_by_group,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict


def _data(features, models=40, families=7, seed=0):
    rng = np.random.default_rng(seed)
    family = rng.integers(0, families, models)
    family[:families] = np.arange(families)
    x = 3 + rng.normal(size=(models, features)) * np.geomspace(0.01, 100, features) if features else None
    y = 5 + rng.normal(size=models) + (x[:, 0] if features else 0)
    return (x if features else np.empty((models, 0))), y, family


def _refitted(estimator, x, y, groups):
    return cross_val_predict(estimator, x, y, groups=groups, cv=LeaveOneGroupOut())


@pytest.mark.parametrize("features", [1, 2, 3])
@pytest.mark.parametrize("by", ["family", "model"])
@pytest.mark.parametrize("seed", range(3))
def test_least_squares(features, by, seed):
    x, y, family = _data(features, seed=seed)
    groups = family if by == "family" else np.arange(len(y))
    expected = _refitted(LinearRegression(), x, y, groups)
    np.testing.assert_allclose(leave_out(x, y, groups), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("by", ["family", "model"])
def test_mean_of_the_others(by):
    x, y, family = _data(0)
    groups = family if by == "family" else np.arange(len(y))
    expected = [y[groups != g].mean() for g in groups]
    np.testing.assert_allclose(leave_out(x, y, groups), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("defect", ["constant", "constant in one fold", "the same twice", "more features than rows"])
@pytest.mark.parametrize("by", ["family", "model"])
def test_folds_without_full_rank(defect, by):
    x, y, family = _data(2)
    if defect == "constant":
        x[:, 1] = 0.1
    if defect == "constant in one fold":
        x[:, 1] = np.where(family == 2, x[:, 1], 0.1)
    if defect == "the same twice":
        x[:, 1] = x[:, 0]
    if defect == "more features than rows":
        x, y, family = x[:4], y[:4], np.array([0, 0, 0, 1])
    groups = family if by == "family" else np.arange(len(y))
    expected = _refitted(LinearRegression(), x, y, groups)
    np.testing.assert_allclose(leave_out(x, y, groups), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("by", ["family", "model"])
@pytest.mark.parametrize("seed", range(5))
def test_best_feature_is_chosen_in_each_fold(by, seed):
    rng = np.random.default_rng(seed)
    y, family = rng.normal(size=30), np.arange(30) % 6
    x = rng.normal(size=(30, 15)) * np.geomspace(0.01, 100, 15)
    x[:, 3] = 7
    groups = family if by == "family" else np.arange(30)
    # Refitted by hand, not with our estimator: least training error over one-feature regressions.
    expected = np.empty(30)
    for g in np.unique(groups):
        train, test = groups != g, groups == g
        fits = [LinearRegression().fit(x[train][:, [k]], y[train]) for k in range(15)]
        best = max(range(15), key=lambda k: fits[k].score(x[train][:, [k]], y[train]))
        expected[test] = fits[best].predict(x[test][:, [best]])
    np.testing.assert_allclose(leave_out_best(x, y, groups), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(_refitted(BestFeature(), x, y, groups), expected, rtol=0, atol=1e-10)


def test_best_feature_beside_others_is_chosen_in_each_fold():
    rng = np.random.default_rng(0)
    y, family = rng.normal(size=30), np.arange(30) % 6
    common, x = rng.normal(size=(30, 2)), rng.normal(size=(30, 8))
    expected = np.empty(30)
    for g in range(6):
        train, test = family != g, family == g
        designs = [np.column_stack([common, x[:, k]]) for k in range(8)]
        fits = [LinearRegression().fit(d[train], y[train]) for d in designs]
        best = max(range(8), key=lambda k: fits[k].score(designs[k][train], y[train]))
        expected[test] = fits[best].predict(designs[best][test])
    np.testing.assert_allclose(leave_out_joint(common, x, y, family), expected, rtol=0, atol=1e-10)


def test_sums_by_group_with_an_empty_group():
    found = sums_by_group(np.array([[1.0], [2.0], [4.0]]), np.array([2, 0, 2]), 4)
    assert found.tolist() == [[2], [0], [5], [0]]


def _cells(models=8, families=4, domains=6, seed=0):
    rng = np.random.default_rng(seed)
    model, domain = (v.ravel() for v in np.indices((models, domains)))
    d, target, accuracy, size = rng.normal(size=(4, models * domains))
    nothing = np.zeros(len(d))
    return Cells(model, model % families, domain, d, target, accuracy, nothing, nothing, size, nothing).take(
        np.arange(3, len(d))
    )


@pytest.mark.parametrize("features", [0, 1, 2])
def test_leaving_out_domain_and_family(features):
    c = _cells()
    x = np.column_stack([c.d, c.log_parameters])[:, :features]
    expected = np.empty(len(c.d))
    for i in range(len(c.d)):
        train = (c.family != c.family[i]) & (c.domain != c.domain[i])
        y = c.target[train]
        expected[i] = LinearRegression().fit(x[train], y).predict(x[[i]])[0] if features else y.mean()
    np.testing.assert_allclose(leave_domain_and_family(x, c.target, c), expected, rtol=0, atol=1e-10)


def test_own_mean_and_slope_is_the_fixed_effects_regression():
    c = _cells()
    x = np.column_stack([c.model, c.d])
    dummies = np.column_stack([(c.model == m).astype(float) for m in np.unique(c.model)] + [c.d])
    coefficients = np.linalg.lstsq(dummies, c.target, rcond=None)[0]
    np.testing.assert_allclose(OwnMeanAndSlope().fit(x, c.target).predict(x), dummies @ coefficients, atol=1e-10)
    assert np.isnan(OwnMeanAndSlope().fit(x, c.target).predict(np.array([[99.0, 0.0]]))).all()
