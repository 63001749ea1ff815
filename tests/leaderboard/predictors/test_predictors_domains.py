"""A domain's D against accuracy there, with planted truths."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from dispersion_leaderboard.predictors import fit_domains, predict_domain
from planted import SEEDS, domains, rejections_allowed
from scipy import stats


def _named(fit, name):
    return next(s for s in fit.signals if s.name == name)


@pytest.mark.parametrize("models", [1, 6])
@pytest.mark.parametrize("seed", range(2))
def test_planted_relation_is_recovered(models, seed):
    o = domains(1.0, seed, models)
    fit = fit_domains(o)
    assert fit.status == "fitted" and fit.n_domains == 30 and fit.n_models == models and fit.beats_baseline
    best = _named(fit, fit.best)
    assert best.gain.high < 0 and best.known.mae.value < 0.75 * _named(fit, "model-mean").known.mae.value
    assert fit.mean_within.low > 0.5
    own = fit.within[0]
    assert own.spearman.value == pytest.approx(stats.spearmanr(o.dispersion[0], o.accuracy[0]).statistic)
    names = [s.name for s in fit.signals]
    if models == 1:
        assert names == ["model-mean", "d-model-mean"]
    else:
        assert names == ["mean", "model-mean", "parameters", "d", "d-parameters", "d-model-mean"]
        assert _named(fit, "d").unknown.n_families == 3
    assert best.unknown is None
    json.dumps(asdict(fit))


@pytest.mark.parametrize("seeds", SEEDS)
def test_no_relation_is_no_finding(seeds):
    """D tells good models from bad ones here by accident, and never good domains from bad ones."""
    fits = [fit_domains(domains(0.0, seed, count=16)) for seed in range(seeds)]
    assert sum(f.beats_baseline for f in fits) <= rejections_allowed(seeds)
    assert sum(any(s.p_adjusted <= 0.05 for s in f.signals) for f in fits) <= rejections_allowed(seeds)
    assert abs(np.mean([f.mean_within.value for f in fits])) < 0.1


def test_intervals_cover_domains_left_out_and_new_ones():
    covered, held = [], 0
    for seed in range(20):
        o = domains(1.0, seed)
        fit = fit_domains(replace(o, accuracy=np.where(np.arange(30) == 7, np.nan, o.accuracy)))
        covered.append(fit.coverage.value)
        for i, entry in enumerate(o.entries):
            known = replace(o, accuracy=np.where(np.arange(30) == 7, np.nan, o.accuracy))
            found, _ = predict_domain(known, entry, float(o.dispersion[i, 7]), fit=fit)
            held += found.low <= o.accuracy[i, 7] <= found.high
    assert 0.85 <= np.mean(covered) <= 0.95
    assert 0.8 <= held / 120 <= 0.98


def test_model_never_measured_is_predicted_from_other_families():
    o = domains(1.0, 0, models=12, families=6)
    o = replace(o, accuracy=np.where(np.arange(12)[:, None] == 3, np.nan, o.accuracy))
    fit = fit_domains(o)
    found, _ = predict_domain(o, "model 3", 0.6, fit=fit)
    known, _ = predict_domain(o, "model 4", 0.6, fit=fit)
    assert "no accuracy of this model is known on other domains" in found.warnings
    assert "mean" not in found.signal and found.high - found.low > known.high - known.low
    far, _ = predict_domain(o, "model 4", 9.0, fit=fit)
    assert any("outside the range seen" in w for w in far.warnings)


def test_what_cannot_be_fitted_is_said():
    few = domains(1.0, 0, count=7)
    fit = fit_domains(few)
    assert fit.status == "not enough domains" and "7 domains" in fit.reason and not fit.signals
    with pytest.raises(SystemExit, match=r"^leaderboard: Subjects cannot be predicted: not enough domains"):
        predict_domain(few, "model 0", 0.5)
    nine = fit_domains(domains(1.0, 0, count=9))
    assert nine.status == "fitted" and nine.coverage is None and "needs 10" in nine.interval_reason
    o = domains(1.0, 0)
    assert fit_domains(replace(o, accuracy=np.full((6, 30), 0.25))).status == "no signal"
    assert fit_domains(replace(o, accuracy=np.full((6, 30), np.nan))).status == "not enough domains"
    with pytest.raises(SystemExit, match=r"^leaderboard: chance level of Subjects, domain 00 is 2"):
        fit_domains(replace(o, chance=np.full(30, 2.0)))
    with pytest.raises(SystemExit, match=r"^leaderboard: no model nobody"):
        predict_domain(o, "nobody", 0.5)


def test_holes_and_order_change_nothing_else():
    o = domains(1.0, 0)
    holes = np.random.default_rng(0).uniform(size=(6, 30)) < 0.3
    o = replace(o, accuracy=np.where(holes, np.nan, o.accuracy), log_parameters=np.full(6, np.nan))
    fit = fit_domains(o)
    assert fit.status == "fitted" and [s.name for s in fit.signals] == ["mean", "model-mean", "d", "d-model-mean"]
    rows, columns = np.arange(6)[::-1], np.random.default_rng(1).permutation(30)
    grid = np.ix_(rows, columns)
    shuffled = replace(
        o,
        entries=o.entries[::-1],
        family=o.family[::-1],
        domains=tuple(o.domains[j] for j in columns),
        dispersion=o.dispersion[grid],
        accuracy=o.accuracy[grid],
        items=o.items[grid],
    )
    assert repr(fit_domains(shuffled)) == repr(fit)


def test_confidence_and_doc_stand_beside_d_and_are_what_they_say():
    o = domains(0.0, 0)
    confidence = np.clip(o.accuracy + 0.1 + np.random.default_rng(1).normal(0, 0.02, o.accuracy.shape), 0, 1)
    fit = fit_domains(replace(o, confidence=confidence))
    plain = [s.name for s in fit_domains(o).signals]
    assert [s.name for s in fit.signals] == [*plain, "ac-model-mean", "doc"]
    doc = []
    for j in range(30):
        others = np.arange(30) != j
        moved = o.accuracy[:, others].mean(1) - (confidence[:, others].mean(1) - confidence[:, j])
        doc.append(np.abs(np.clip(moved, 0, 1) - o.accuracy[:, j]))
    found = _named(fit, "doc")
    assert found.known.mae.value == pytest.approx(100 * np.mean(doc)) and found.unknown is None
    assert found.over == "model-mean" and found.gain.high < 0 and found.p_adjusted <= 0.05
    assert _named(fit, "ac-model-mean").known.mae.value < _named(fit, "d-model-mean").known.mae.value
    # D is asked about as before, and beside it.
    assert repr(_named(fit, "d-model-mean").known) == repr(_named(fit_domains(o), "d-model-mean").known)
    assert not fit.beats_baseline
    confidence[2, 3] = np.nan
    assert [s.name for s in fit_domains(replace(o, confidence=confidence)).signals] == plain
