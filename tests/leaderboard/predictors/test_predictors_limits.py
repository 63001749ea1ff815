"""What cannot be fitted is said, and nothing breaks."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from dispersion_leaderboard.predictors import Signal, fit_task, predict
from dispersion_leaderboard.predictors._intervals import intervals
from dispersion_leaderboard.predictors._rows import Rows
from dispersion_leaderboard.predictors._target import to_accuracy, to_target
from planted import observations
from sklearn.linear_model import LinearRegression


def _first(o, models, families=None):
    kept = np.arange(len(o.entries)) < models
    if families:
        o = replace(o, family=tuple(f"family {i % families}" for i in range(len(o.entries))))
    return replace(o, accuracy=np.where(kept, o.accuracy, np.nan))


@pytest.mark.parametrize(("models", "families"), [(0, 1), (7, 4), (20, 2), (1, 1)])
def test_not_enough_models(models, families):
    fit = fit_task(_first(observations("d", 0), models, families))
    assert fit.status == "not enough models" and str(models) in fit.reason
    assert (fit.signals, fit.best, fit.predictions, fit.beats_mean) == ((), None, (), False)


@pytest.mark.parametrize(("models", "intervals"), [(8, False), (9, False), (10, True)])
def test_intervals_need_ten_models(models, intervals):
    fit = fit_task(_first(observations("d", 0), models, 4))
    assert fit.status == "fitted" and fit.n_models == models
    assert (fit.interval_reason == "") == intervals
    new = [p for p in fit.predictions if p.measured is None]
    assert new and all(np.isfinite(p.predicted) and np.isfinite(p.low) == intervals for p in new)
    if not intervals:
        assert "needs 10" in fit.interval_reason and fit.coverage is None


def test_few_families_cannot_be_told_from_the_mean():
    """Eight models of three families: the least p is 1 in 8, whatever the relation."""
    fit = fit_task(_first(observations("d", 0), 9, 3))
    assert not fit.beats_mean and fit.least_p == 1 / 8 and fit.beats_mean_p >= 1 / 8
    assert all(i.p >= i.least_p == 0.25 for i in fit.increments)


def test_task_at_chance_is_not_fitted():
    o = observations("d", 0)
    rng = np.random.default_rng(0)
    accuracy = rng.binomial(1000, 0.25, size=60) / 1000
    accuracy[:5] = 0.9
    fit = fit_task(replace(o, accuracy=accuracy))
    assert fit.status == "no signal" and "chance" in fit.reason and not fit.signals
    accuracy[:10] = 0.9
    assert fit_task(replace(o, accuracy=accuracy)).status == "fitted"
    assert fit_task(replace(o, accuracy=np.full(60, 0.6), chance=None)).status == "no signal"
    assert fit_task(replace(o, accuracy=np.zeros(60), chance=0.0)).status == "no signal"


def test_chance_not_known_is_taken_as_none_and_said():
    o = replace(observations("d", 0), chance=None)
    fit = fit_task(o)
    assert fit.status == "fitted" and fit.chance is None
    assert "chance level not known, taken as 0" in predict(o, o.entries[0])[0].warnings


def test_impossible_chance_is_one_line():
    with pytest.raises(SystemExit, match=r"^leaderboard: chance level of Task is 1.5"):
        fit_task(replace(observations("d", 0), chance=1.5))


def test_holes_are_left_out_signal_by_signal():
    o = observations("d", 0)
    rng = np.random.default_rng(1)

    def holes(values, share):
        gone = rng.uniform(size=60) < share
        return np.where(gone[:, None] if values.ndim == 2 else gone, np.nan, values)

    shares = dict(zip(o.signals, (0.2, 0.3, 0.95, 0.1, 0.02, 0.5), strict=True))
    o = replace(o, signals={k: replace(s, values=holes(s.values, shares[k])) for k, s in o.signals.items()})
    fit = fit_task(replace(o, accuracy=holes(o.accuracy, 0.1), items=np.full(60, np.nan)))
    d = next(s for s in fit.signals if s.label == "D text, last layer")
    assert 30 < d.by_family.n_models < 60 and d.by_family.r2.value > 0.8
    left_out = dict(fit.left_out)
    assert "bits per byte, text" in left_out and "8 of 3" in left_out["bits per byte, text"]
    benchmark = next(s for s in fit.signals if s.kind == "benchmark")
    assert benchmark.features == ("accuracy on A",)


def test_constant_signal_is_left_out():
    o = observations("d", 0)
    o = replace(o, signals={**o.signals, "x": Signal("log training compute", "compute", np.full(60, 3.0), "")})
    assert "the same for all" in dict(fit_task(o).left_out)["log training compute"]


def test_signal_known_for_nobody():
    o = observations("d", 0)
    fit = fit_task(replace(o, signals={"x": Signal("D", "dispersion", np.full((60, 5), np.nan), "")}))
    assert fit.status == "not enough models" and "no signal is known" in fit.reason
    assert fit_task(replace(o, signals={})).status == "not enough models"


def test_rare_signal_is_not_the_best():
    """Eight alike models are predicted with little error by anything."""
    o = observations("d", 0)
    rare = np.where(np.arange(60) < 8, o.accuracy, np.nan)
    o = replace(o, signals={**o.signals, "x": Signal("compute", "compute", rare, "")})
    fit = fit_task(o)
    assert "compute" in [s.label for s in fit.signals] and fit.best != "compute"


def test_family_of_one_and_accuracies_of_none_and_all():
    o = observations("d", 0)
    accuracy = o.accuracy.copy()
    accuracy[:4] = [0, 1, 0.1, 0.25]
    family = ("alone", *o.family[1:])
    fit = fit_task(replace(o, accuracy=accuracy, family=family))
    assert fit.status == "fitted" and fit.n_families == 13
    assert all(0.25 <= p.predicted <= 1 for p in fit.predictions)
    assert next(p for p in fit.predictions if p.entry == o.entries[1]).measured == 1


def test_values_that_are_no_fractions_are_not_accuracies():
    o = observations("d", 0)
    fit = fit_task(replace(o, accuracy=o.accuracy * 100))
    assert fit.status == "not enough models" and "60 values are no fractions" in fit.reason


def test_lengths_that_disagree():
    o = observations("d", 0)
    with pytest.raises(ValueError, match="Task"):
        fit_task(replace(o, items=o.items[:5]))


def test_target_and_back():
    accuracy, items = np.array([0.0, 0.25, 0.5, 1.0]), np.array([100.0, 50.0, np.nan, 100.0])
    target = to_target(accuracy, items, 0.25)
    np.testing.assert_allclose(1 / (1 + np.exp(-target)), [0.005, 0.01, 1 / 3, 0.995])
    np.testing.assert_allclose(to_accuracy(target, 0.25)[2], 0.5)


def test_intervals_are_those_of_the_jackknife_plus():
    """Barber et al. (2021), equation 1.2 with families for units, written out."""
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(6), 5)
    x, y = rng.normal(size=(30, 1)), rng.normal(size=30)
    new = np.array([[0.3], [2.0]])
    below, above = [], []
    for f in range(6):
        fitted = LinearRegression().fit(x[family != f], y[family != f])
        residual = np.abs(y[family == f] - fitted.predict(x[family == f]))
        below.append(fitted.predict(new)[:, None] - residual)
        above.append(fitted.predict(new)[:, None] + residual)
    below, above = np.sort(np.hstack(below), 1), np.sort(np.hstack(above), 1)
    low, high = intervals(Rows(x, False, y, y, family, 0.0), new)
    # The floor(0.1 * 31)-th smallest and the ceil(0.9 * 31)-th smallest.
    np.testing.assert_allclose(low, below[:, 3 - 1])
    np.testing.assert_allclose(high, above[:, 28 - 1])


def test_everything_is_json():
    text = json.dumps(asdict(fit_task(_first(observations("d", 0), 40))))
    assert json.loads(text)["status"] == "fitted"


def test_prediction_warns_of_what_was_not_seen():
    o = observations("d", 0)
    last = o.entries[-1]
    d = o.signals["D text, last layer"]
    o = replace(
        o,
        accuracy=np.append(o.accuracy[:-1], np.nan),
        family=(*o.family[:-1], "new"),
        tokenizer=(*o.tokenizer[:-1], "new"),
        signals={"D text, last layer": replace(d, values=np.append(d.values[:-1], 99.0))},
    )
    found, fit = predict(o, last)
    assert found.measured is None and found.signal == "D text, last layer" and fit.status == "fitted"
    said = " ".join(found.warnings)
    assert "family not seen" in said and "tokenizer not seen" in said
    assert f"99 is outside the range seen ({d.values[:-1].min():.4g} to {d.values[:-1].max():.4g})" in said
    assert "does not beat" not in said


def test_prediction_without_the_best_signal_uses_another():
    o = observations("d", 0)
    place, others = 5, np.arange(60) != 5
    o = replace(o, accuracy=np.where(others, o.accuracy, np.nan))

    def without(*labels):
        holes = {k: replace(o.signals[k], values=np.where(others, o.signals[k].values.T, np.nan).T) for k in labels}
        return replace(o, signals={**o.signals, **holes})

    found, fit = predict(without("D text, last layer", "D text, best layer"), o.entries[place])
    assert found.signal in ("bits per byte, text", "log parameters", "bits per byte, text + log parameters")
    assert "is not known for it" in found.warnings[0] and found.measured is None
    assert found.signal == next(s.label for s in fit.signals if s.name == fit.best)
    with pytest.raises(SystemExit, match=r"^leaderboard: no model nobody"):
        predict(o, "nobody")
    # A benchmark's accuracy is no label-free signal.
    with pytest.raises(SystemExit, match=r"^leaderboard: no label-free signal of model 0005 .* measure D first$"):
        predict(without(*(k for k, s in o.signals.items() if s.kind != "benchmark")), o.entries[place])


def test_prediction_that_is_no_better_than_the_mean_says_so():
    o = observations("none", 3)
    found, fit = predict(o, o.entries[0])
    assert not fit.beats_mean and "does not beat predicting the mean" in found.warnings[0]
