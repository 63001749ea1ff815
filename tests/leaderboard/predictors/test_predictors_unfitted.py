"""Accuracy predicted without a fit: by hand, against raw confidences, and how its error is told beside fitted ones."""

from dataclasses import replace

import numpy as np
import pytest
from confidences import atc
from dispersion_leaderboard.predictors import (
    Signal,
    average_thresholded_confidence,
    difference_of_confidences,
    fit_task,
)
from planted import observations


def _quantiles(values):
    return np.percentile(values, range(101))


def test_doc_by_hand():
    found = difference_of_confidences(np.array([0.8, 0.1, 0.9, np.nan]), 0.7, np.array([0.6, 0.4, 0.95, 0.5]))
    assert found == pytest.approx([0.7, 0.0, 1.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("seed", range(5))
def test_atc_from_quantiles_is_that_of_the_confidences_themselves(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.beta(5, 2, 2000), rng.beta(*rng.uniform(1, 6, 2), 1500)
    for accuracy in rng.uniform(0, 1, 20):
        found = average_thresholded_confidence(accuracy, _quantiles(source), _quantiles(target))
        # A quantile, and a document, of each.
        assert found == pytest.approx(atc(accuracy, source, target), abs=0.015)


@pytest.mark.parametrize("accuracy", [0.0, 0.25, 0.6, 1.0])
def test_atc_of_the_source_itself_is_its_accuracy(accuracy):
    confidences = np.random.default_rng(0).beta(5, 2, 101)
    quantiles = _quantiles(confidences)
    least = 0.01 if accuracy == 0 else accuracy
    assert average_thresholded_confidence(accuracy, quantiles, quantiles) == pytest.approx(least, abs=0.0101)


def test_atc_at_the_ends_and_of_one_value():
    low, high, one = np.linspace(0, 0.4, 101), np.linspace(0.6, 1, 101), np.full(101, 0.5)
    assert average_thresholded_confidence(0.5, low, high) == 1 and average_thresholded_confidence(0.5, high, low) == 0
    # A document at the threshold reaches it.
    assert average_thresholded_confidence(0.3, one, one) == 1
    assert np.isnan(average_thresholded_confidence(float("nan"), low, high))
    assert np.isnan(average_thresholded_confidence(1.5, low, high))


def _with(o, *signals):
    return replace(o, signals={**o.signals, **{s.label: s for s in signals}})


def test_its_error_is_the_plain_one_and_it_is_never_the_best_signal():
    o = observations("none", 0)
    given = np.clip(o.accuracy + np.random.default_rng(1).normal(0.05, 0.01, 60), 0, 1)
    fit = fit_task(_with(o, Signal("AC, no fit", "unfitted", given, "")))
    found = next(s for s in fit.signals if s.label == "AC, no fit")
    assert found.by_family == found.by_model and found.curve is None and found.kind == "unfitted"
    errors = 100 * np.abs(given - o.accuracy)
    assert found.by_family.mae.value == pytest.approx(errors.mean())
    assert found.baseline_mae.value == pytest.approx(fit.signals[0].by_family.mae.value)
    # It tells every model's accuracy to 5 points, and still is no fit's choice.
    assert found.gain.high < 0 and fit.best != found.name and fit.tried == fit_task(o).tried
    assert {p.signal for p in fit.predictions} == {next(s.label for s in fit.signals if s.name == fit.best)}


def test_intervals_resample_whole_families():
    o = observations("none", 0)
    off = np.where(np.array(o.family) == "family 003", 0.2, 0.0)
    fit = fit_task(_with(o, Signal("AC, no fit", "unfitted", o.accuracy - off, "")))
    found = next(s for s in fit.signals if s.label == "AC, no fit").by_family.mae
    in_family = np.array([(off > 0)[np.array(o.family) == f].mean() for f in sorted(set(o.family))])
    sizes = np.array([(np.array(o.family) == f).sum() for f in sorted(set(o.family))])
    drawn = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 1000)
    means = 100 * 0.2 * (drawn * in_family * sizes).sum(1) / (drawn * sizes).sum(1)
    assert [found.low, found.high] == pytest.approx(np.percentile(means, [2.5, 97.5]))


def test_a_confidence_that_tells_is_found_among_those_tried():
    o = observations("none", 0)
    told = o.accuracy + np.random.default_rng(1).normal(0, 0.02, 60)
    fit = fit_task(_with(o, Signal("AC (mean confidence)", "confidence", told, "Task")))
    assert fit.tried == fit_task(o).tried + 1
    best = next(s for s in fit.signals if s.name == fit.best)
    assert best.label == "AC (mean confidence)" and fit.beats_mean
