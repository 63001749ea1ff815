"""The user's question: how accurate will this model be, how surely, and when not to believe it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from dispersion_leaderboard.predictors._cells import cells
from dispersion_leaderboard.predictors._domain_intervals import design, domain_intervals, thinned
from dispersion_leaderboard.predictors._domains import fit_domains, ordered
from dispersion_leaderboard.predictors._fit import fit_task
from dispersion_leaderboard.predictors._observations import DomainObservations, Floats, Observations
from dispersion_leaderboard.predictors._results import DomainFit, Prediction, TaskFit
from dispersion_leaderboard.predictors._target import to_accuracy


def predict(observations: Observations, entry: str, *, cache: Path | None = None) -> tuple[Prediction, TaskFit]:
    """Accuracy of one entry on the benchmark, and the fit behind it (its scores say how it was validated).

    By the best label-free signal; where the entry lacks that, by the best of those it has, and a warning says so.

    Raises:
        SystemExit: where nothing can be predicted, in one line that says why.
    """
    if entry not in observations.entries:
        raise SystemExit(f"leaderboard: no model {entry}; give one as `records` names it")
    fit = fit_task(observations, cache=cache)
    if fit.status != "fitted" or fit.best is None:
        why = fit.reason or "no label-free signal"
        raise SystemExit(f"leaderboard: {fit.task} cannot be predicted: {fit.status}; {why}")
    found = next((p for p in fit.predictions if p.entry == entry), None)
    missing: tuple[str, ...] = ()
    if found is None:
        best = next(s for s in fit.signals if s.name == fit.best)
        missing = (f"{best.label}, the best signal, is not known for it",)
        none = f"leaderboard: no label-free signal of {entry} is known that predicts {fit.task}; measure D first"
        fit = fit_task(_only_what_it_has(observations, entry))
        if fit.status != "fitted" or fit.best is None:
            raise SystemExit(none)
        found = next(p for p in fit.predictions if p.entry == entry)
    return replace(found, warnings=(*missing, *_of_the_fit(fit), *found.warnings)), fit


def _only_what_it_has(o: Observations, entry: str) -> Observations:
    place = o.entries.index(entry)
    kept = {k: s for k, s in o.signals.items() if s.kind == "benchmark" or np.isfinite(s.values[place]).all()}
    return replace(o, signals=kept)


def _of_the_fit(fit: TaskFit) -> tuple[str, ...]:
    said = []
    if not fit.beats_mean:
        said.append(f"on {fit.task} this does not beat predicting the mean")
    if fit.interval_reason:
        said.append(f"no interval: {fit.interval_reason}")
    if fit.coverage is not None and fit.coverage.value < fit.interval_level - 0.1:
        held, level = (f"{100 * share:.0f} %" for share in (fit.coverage.value, fit.interval_level))
        said.append(f"intervals held {held} of the models of families left out, not {level}")
    if fit.chance is None:
        said.append("chance level not known, taken as 0")
    return tuple(said)


def predict_domain(
    observations: DomainObservations,
    entry: str,
    d: float,
    *,
    chance: float | None = None,
    fit: DomainFit | None = None,
) -> tuple[Prediction, DomainFit]:
    """Accuracy of one entry on a new domain, from the D of its unlabelled prompts.

    Args:
        observations: other domains, of this and other models.
        entry: among them.
        d: of the new domain's prompts, at the last layer.
        chance: of the new domain; None for that of the others.
        fit: of ``fit_domains`` on the same observations, where it is at hand.

    Raises:
        SystemExit: where nothing can be predicted, in one line that says why.
    """
    o = ordered(observations)
    if entry not in o.entries:
        raise SystemExit(f"leaderboard: no model {entry}; give one as `records` names it")
    fit = fit or fit_domains(o)
    if fit.status != "fitted":
        raise SystemExit(f"leaderboard: {o.name} cannot be predicted: {fit.status}; {fit.reason}")
    place = o.entries.index(entry)
    c = cells(o)
    known = place in c.model
    if known:
        signal = next(s for s in fit.signals if s.name == fit.best)
    else:
        sized = math.isfinite(float(o.log_parameters[place]))
        scored = [(s.unknown.mae.value, s) for s in fit.signals if s.kind == "dispersion" and s.unknown is not None]
        scored = [(mae, s) for mae, s in scored if sized or "parameters" not in s.name]
        if not scored:
            raise SystemExit(f"leaderboard: {entry} has no measured domains, and too few other families to go by")
        signal = min(scored, key=lambda found: found[0])[1]
    # A model not seen is predicted from other families, and its interval has to say how families differ.
    others = c if known else c.take(np.flatnonzero(np.array(o.family)[c.model] != o.family[place]))
    new = _new_row(signal.name, place, d, float(o.log_parameters[place]))
    x, estimator = design(signal.name, others)
    central = estimator.fit(x, others.target).predict(new)
    part = thinned(others, place)
    enough = part.counts[2] >= 10 if known else part.counts[1] >= 3
    groups = part.domain if known else part.family
    ends = domain_intervals(signal.name, part, groups, new) if enough else (np.full(1, np.nan),) * 2
    if chance is None:
        chance = float(np.median(c.chance))
    predicted, low, high = (float(to_accuracy(v, chance)[0]) for v in (central, *ends))
    said = []
    if not signal.p_adjusted <= 0.05:
        over = next(s.label for s in fit.signals if s.name == signal.over)
        said.append(f"D adds nothing here that can be told from chance, beyond {over}")
    if not known:
        said.append("no accuracy of this model is known on other domains")
    seen = c.d[c.model == place] if known else c.d
    if not seen.min() <= d <= seen.max():
        said.append(f"D of {d:.4g} is outside the range seen ({seen.min():.4g} to {seen.max():.4g})")
    if not enough:
        said.append("no interval: fewer than 10 domains" if known else "no interval: fewer than 3 other families")
    if np.ptp(c.chance) > 0:
        said.append(f"domains differ in chance level; {chance:.3g} is taken for the new one")
    return Prediction(entry, predicted, low, high, None, tuple(said), signal.label), fit


def _new_row(name: str, place: int, d: float, log_parameters: float) -> Floats:
    if name == "d-model-mean":
        return np.array([[place, d]], dtype=float)
    return np.array([[d, log_parameters]] if name == "d-parameters" else [[d]])
