"""Does the D of a domain's unlabelled prompts predict accuracy there? A domain is left out of (model, domain) rows.

The model's own mean on the other domains is the baseline that matters: it knows the model. D joins it as one slope
estimated inside models, so a D that is only high for good models adds nothing. A regression on the mean of the *other*
domains would leak: in training that mean falls where the row's own accuracy rises. Beside it stands what knows as
little: the mean confidence (AC) joined in the same way, and DoC, which is not fitted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from threadpoolctl import threadpool_limits

from dispersion_leaderboard.predictors._cache import Cache
from dispersion_leaderboard.predictors._cells import Cells, OwnMeanAndSlope, both_weights, cell_mean, cell_scores, cells
from dispersion_leaderboard.predictors._cells import leave_domain_and_family as leave_both
from dispersion_leaderboard.predictors._domain_intervals import held_out_intervals
from dispersion_leaderboard.predictors._flips import gain_p
from dispersion_leaderboard.predictors._folds import leave_out, sums_by_group
from dispersion_leaderboard.predictors._increment import holm
from dispersion_leaderboard.predictors._intervals import LEAST_MODELS, LEVEL
from dispersion_leaderboard.predictors._observations import DomainObservations, Floats
from dispersion_leaderboard.predictors._results import DomainFit, DomainSignalFit, Estimate, WithinModel
from dispersion_leaderboard.predictors._scores import estimate, weighted_spearman, weights
from dispersion_leaderboard.predictors._target import at_chance, checked_chance, to_accuracy
from dispersion_leaderboard.predictors._transfer import difference_of_confidences

LEAST_DOMAINS = 8
_NAN = float("nan")
_MANY = 500
_RESAMPLES = 200

# (name, label, kind, the baseline it has to beat)
_SIGNALS = (
    ("mean", "the mean of all models and domains", "baseline", ""),
    ("model-mean", "the model's mean on the other domains", "baseline", "mean"),
    ("parameters", "log parameters", "baseline", "mean"),
    ("d", "D", "dispersion", "mean"),
    ("d-parameters", "D + log parameters", "dispersion", "parameters"),
    ("d-model-mean", "D + the model's mean on the other domains", "dispersion", "model-mean"),
    ("ac-model-mean", "AC + the model's mean on the other domains", "confidence", "model-mean"),
    ("doc", "DoC from the other domains, no fit", "confidence", "model-mean"),
)


def fit_domains(observations: DomainObservations, *, cache: Path | None = None) -> DomainFit:
    """Fits and validates the predictors of accuracy on a domain not seen.

    Args:
        observations: by model and domain, in any order.
        cache: a folder that remembers the fit by its inputs.

    Raises:
        SystemExit: where a chance level given is none.
    """
    memory = Cache(cache / "domains" if cache else None)
    with threadpool_limits(1):
        found = memory.call(_fit, ordered(observations))
    memory.forget_the_rest()
    return found


def _fit(observations: DomainObservations) -> DomainFit:
    for domain, chance in zip(observations.domains, observations.chance, strict=True):
        checked_chance(f"{observations.name}, {domain}", float(chance))
    o = ordered(observations)
    c = cells(o)
    models, families, domains = c.counts
    empty = DomainFit(o.name, models, families, domains, "not enough domains", "", interval_level=LEVEL)
    if domains < LEAST_DOMAINS:
        return replace(empty, reason=f"{domains} domains have both D and accuracy; a fit needs {LEAST_DOMAINS}")
    share = at_chance(c.accuracy, c.items, c.chance)
    if share >= 0.9 and (c.chance > 0).any():
        reason = f"{100 * share:.0f} % of the accuracies stand within two standard errors of chance, or below it"
        return replace(empty, status="no signal", reason=reason)
    if np.ptp(c.target) == 0 or np.ptp(c.d) == 0:
        return replace(empty, status="no signal", reason="all accuracies, or all D, are equal")
    signals = _signals(c)
    best = next(s for s in signals if s.name == "d-model-mean")
    low, high = held_out_intervals(c, best.name) if domains >= LEAST_MODELS else np.full((2, len(c.d)), np.nan)
    defined = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    inside = ((low <= c.accuracy) & (c.accuracy <= high)).astype(float)[defined]
    within, mean_within = _within(o, c)
    return replace(
        empty,
        status="fitted",
        signals=signals,
        best=best.name,
        beats_baseline=bool(best.p_adjusted <= 0.05 and best.gain.high < 0),
        within=within,
        mean_within=mean_within,
        coverage=cell_mean(inside, c.take(defined)) if len(defined) else None,
        interval_reason="" if len(defined) else f"{domains} domains, and an interval needs {LEAST_MODELS}",
    )


def ordered(o: DomainObservations) -> DomainObservations:
    """By the ids of entries and names of domains, so that the caller's order changes nothing."""
    if len(set(o.entries)) != len(o.entries) or len(set(o.domains)) != len(o.domains):
        raise ValueError(f"{o.name}: entries and domains have to be unique")
    rows = sorted(range(len(o.entries)), key=o.entries.__getitem__)
    columns = sorted(range(len(o.domains)), key=o.domains.__getitem__)
    grid = np.ix_(np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64))
    return DomainObservations(
        name=o.name,
        entries=tuple(o.entries[i] for i in rows),
        family=tuple(o.family[i] for i in rows),
        domains=tuple(o.domains[j] for j in columns),
        dispersion=np.asarray(o.dispersion, dtype=float)[grid],
        accuracy=np.asarray(o.accuracy, dtype=float)[grid],
        items=np.asarray(o.items, dtype=float)[grid],
        chance=np.asarray(o.chance, dtype=float)[columns],
        log_parameters=np.asarray(o.log_parameters, dtype=float)[rows],
        confidence=None if o.confidence is None else np.asarray(o.confidence, dtype=float)[grid],
    )


def features(name: str, c: Cells) -> Floats:
    """[rows, p] of a predictor that is plain least squares."""
    columns = {"mean": [], "parameters": [c.log_parameters], "d": [c.d], "d-parameters": [c.d, c.log_parameters]}[name]
    return np.column_stack([np.empty((len(c.d), 0)), *columns])


def _signals(c: Cells) -> tuple[DomainSignalFit, ...]:
    models, families, domains = c.counts
    sized = np.isfinite(c.log_parameters).all() and np.ptp(c.log_parameters) > 0
    errors: dict[str, Floats] = {}
    found: list[DomainSignalFit] = []
    for name, label, kind, over in _SIGNALS:
        if ("parameters" in name and not sized) or (kind == "confidence" and not np.isfinite(c.confidence).all()):
            continue
        if models == 1 and name in ("mean", "d"):
            # Of one model its own mean is the mean, and D beside it is D.
            continue
        over = over if over in errors else ""
        known = _known(name, c)
        errors[name] = 100 * np.abs(known - c.accuracy)
        unknown = None
        if "model-mean" not in (name, over) and families >= 3:
            unknown = cell_scores(_unknown(name, c), c, name != "mean")
        gain, p = Estimate(0.0, _NAN, _NAN, "this is the mean"), _NAN
        if over:
            difference = errors[name] - errors[over]
            gain = cell_mean(difference, c)
            if kind != "baseline":
                p = gain_p(sums_by_group(difference[:, None], c.domain, domains), 0)
            if kind != "baseline" and over != "model-mean" and models > 1:
                # Here D may do no more than tell good models from bad ones, of which there are few.
                of_families = gain_p(sums_by_group(difference[:, None], c.family, families), 0)
                p = max(p, of_families) if families >= 3 else _NAN
        scored = cell_scores(known, c, name != "mean" and (name != "model-mean" or models > 1))
        found.append(DomainSignalFit(name, label, kind, scored, unknown, over, gain, p, p))
    adjusted = holm(tuple(s.p for s in found))
    return tuple(replace(s, p_adjusted=p) for s, p in zip(found, adjusted, strict=True))


def _known(name: str, c: Cells) -> Floats:
    """Predicted accuracies, the domain left out."""
    if name == "mean":
        return _plain(leave_out(features(name, c), c.over_chance, c.domain), c)
    if name in ("d-model-mean", "ac-model-mean"):
        x = np.column_stack([c.model, c.d if name == "d-model-mean" else c.confidence])
        folds = LeaveOneGroupOut()
        return to_accuracy(cross_val_predict(OwnMeanAndSlope(), x, c.target, groups=c.domain, cv=folds), c.chance)
    if name == "model-mean":
        return _plain(_on_others(c.over_chance, c), c)
    if name == "doc":
        return difference_of_confidences(_on_others(c.accuracy, c), _on_others(c.confidence, c), c.confidence)
    return to_accuracy(leave_out(features(name, c), c.target, c.domain), c.chance)


def _on_others(values: Floats, c: Cells) -> Floats:
    """The model's mean over its other domains."""
    code = np.unique(c.model, return_inverse=True)[1]
    total = sums_by_group(values[:, None], code, int(code.max()) + 1)[code, 0]
    return np.asarray((total - values) / (np.bincount(code)[code] - 1))


def _unknown(name: str, c: Cells) -> Floats:
    """Likewise, the model's family left out too."""
    if name == "mean":
        return _plain(leave_both(features(name, c), c.over_chance, c), c)
    return to_accuracy(leave_both(features(name, c), c.target, c), c.chance)


def _plain(over_chance: Floats, c: Cells) -> Floats:
    """A mean of accuracies and not of their logits, which a few at chance drag down: a worse baseline flatters."""
    return np.asarray(c.chance + (1 - c.chance) * over_chance)


def _within(o: DomainObservations, c: Cells) -> tuple[tuple[WithinModel, ...], Estimate | None]:
    domains = c.counts[2]
    if c.counts[0] > _MANY:
        return _within_many(o, c)
    drawn = weights(domains)[:_RESAMPLES]
    found, resampled, families = [], [], []
    for model in np.unique(c.model):
        rows = np.flatnonzero(c.model == model)
        x, y = c.d[rows], c.accuracy[rows]
        if len(rows) < LEAST_DOMAINS or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        by_resample = weighted_spearman(x, y, drawn[:, c.domain[rows]])
        value = estimate(float(stats.spearmanr(x, y).statistic), by_resample)
        found.append(WithinModel(o.entries[model], value, len(rows)))
        resampled.append(by_resample)
        families.append(c.family[rows[0]])
    if not found:
        return (), None
    of_families = both_weights(c.counts[1], domains)[0][:_RESAMPLES, families].T
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (of_families * np.array(resampled)).sum(0) / of_families.sum(0)
    return tuple(found), estimate(float(np.mean([w.spearman.value for w in found])), means)


def _within_many(o: DomainObservations, c: Cells) -> tuple[tuple[WithinModel, ...], Estimate | None]:
    """Without an interval for every model, and with one of the mean that resamples families only."""
    d, accuracy = (np.full((len(o.entries), len(o.domains)), np.nan) for _ in range(2))
    d[c.model, c.domain], accuracy[c.model, c.domain] = c.d, c.accuracy
    x, y = (stats.rankdata(v, axis=1, nan_policy="omit") for v in (d, accuracy))
    x, y = (v - np.nanmean(v, axis=1, keepdims=True) for v in (x, y))
    n = np.isfinite(d).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.nansum(x * y, 1) / np.sqrt(np.nansum(x * x, 1) * np.nansum(y * y, 1))
    rows = np.flatnonzero((n >= LEAST_DOMAINS) & np.isfinite(rho))
    if not len(rows):
        return (), None
    found = tuple(WithinModel(o.entries[i], Estimate(float(rho[i]), np.nan, np.nan), int(n[i])) for i in rows)
    family_of = dict(zip(c.model.tolist(), c.family.tolist(), strict=True))
    families = np.array([family_of[i] for i in rows])
    count = c.counts[1]
    sums, sizes = np.bincount(families, rho[rows], count), np.bincount(families, minlength=count)
    drawn = weights(count)
    return found, estimate(float(rho[rows].mean()), (drawn @ sums) / (drawn @ sizes))
