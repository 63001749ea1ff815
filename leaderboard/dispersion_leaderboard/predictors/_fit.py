"""From the observations of one benchmark to everything that is said about predicting it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from dispersion_leaderboard.predictors._cache import Cache
from dispersion_leaderboard.predictors._candidates import (
    LABEL_FREE,
    LEAST_FAMILIES,
    LEAST_MODELS,
    Candidate,
    candidates,
    first,
    headline_dispersions,
)
from dispersion_leaderboard.predictors._family import family_effect
from dispersion_leaderboard.predictors._flips import gain_p, least_gain_p
from dispersion_leaderboard.predictors._folds import sums_by_group
from dispersion_leaderboard.predictors._held_out import predictions
from dispersion_leaderboard.predictors._increment import Question, holm, increment, with_adjusted
from dispersion_leaderboard.predictors._intervals import LEVEL, least_models
from dispersion_leaderboard.predictors._observations import Floats, Integers, Observations, Signal
from dispersion_leaderboard.predictors._results import Increment, SignalFit, TaskFit
from dispersion_leaderboard.predictors._rows import Rows
from dispersion_leaderboard.predictors._scores import mean_by_family
from dispersion_leaderboard.predictors._signal import Validated, validate, validate_as_given, validate_mean
from dispersion_leaderboard.predictors._target import at_chance, checked_chance, to_target

_NO_SIGNAL_SHARE = 0.9
_WIDE_RESAMPLES = 4000


@dataclass(frozen=True)
class _Task:
    """Observations in the order of the entries' ids, so that the caller's order changes nothing."""

    observations: Observations
    chance: float
    measured: Integers
    """Positions with a usable accuracy."""
    target: Floats
    """[n]"""
    outside: int
    """Accuracies that are no fractions."""

    def rows(self, values: Floats, choose: bool) -> tuple[Integers, Rows] | None:
        """Positions and rows that are complete; None where there are none."""
        kept = self.measured[np.isfinite(values[self.measured]).all(1)]
        if not len(kept):
            return None
        families = np.unique(np.array(self.observations.family)[kept], return_inverse=True)[1]
        return kept, Rows(
            values[kept], choose, self.target[kept], self.observations.accuracy[kept], families, self.chance
        )


def fit_task(observations: Observations, *, cache: Path | None = None) -> TaskFit:
    """Fits and validates every predictor of one benchmark.

    Args:
        observations: the benchmark's.
        cache: a folder that remembers fits by their inputs; the result is the same without it.

    Raises:
        SystemExit: where the chance level given is none.
        ValueError: where the lengths do not agree.
    """
    task = _prepare(observations)
    # More threads would sum in another order, and so change the last digits.
    with threadpool_limits(1):
        return _fit_prepared(task, cache)


def _fit_prepared(task: _Task, cache: Path | None) -> TaskFit:
    name = hashlib.sha256(task.observations.task.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    memory = Cache(cache / name if cache else None)
    # Where nothing of the benchmark has changed, its parts need not even be looked up.
    whole = memory.name(_fit, task)
    known: TaskFit | None = memory.read(whole)
    if known is not None:
        return known
    found = _fit(task, memory)
    memory.write(whole, found)
    memory.forget_the_rest()
    return found


def _prepare(observations: Observations) -> _Task:
    n = len(observations.entries)
    lengths = [len(observations.family), len(observations.tokenizer), len(observations.accuracy)]
    lengths += [len(observations.items), *(len(s.values) for s in observations.signals.values())]
    if any(length != n for length in lengths) or len(set(observations.entries)) != n:
        raise ValueError(f"{observations.task}: entries have to be unique and everything as long as they are")
    order = np.array(sorted(range(n), key=observations.entries.__getitem__), dtype=np.int64)
    o = replace(
        observations,
        entries=tuple(observations.entries[i] for i in order),
        family=tuple(observations.family[i] for i in order),
        tokenizer=tuple(observations.tokenizer[i] for i in order),
        accuracy=np.asarray(observations.accuracy, dtype=float)[order],
        items=np.asarray(observations.items, dtype=float)[order],
        signals={
            k: replace(s, values=np.asarray(s.values, dtype=float)[order]) for k, s in observations.signals.items()
        },
    )
    chance = checked_chance(o.task, o.chance)
    known = np.isfinite(o.accuracy)
    usable = known & (o.accuracy >= 0) & (o.accuracy <= 1)
    target = np.full(n, np.nan)
    target[usable] = to_target(o.accuracy[usable], o.items[usable], chance)
    return _Task(o, chance, np.flatnonzero(usable), target, int((known & ~usable).sum()))


def _fit(task: _Task, memory: Cache) -> TaskFit:
    o = task.observations
    nothing = _nothing(task)
    if nothing is not None:
        return nothing
    fitted, left_out = _fit_signals(task, memory)
    base = _empty(task, "fitted", "")
    if not fitted:
        reason = f"no signal is known for {LEAST_MODELS} of the measured models in {LEAST_FAMILIES} families"
        return replace(base, status="not enough models", reason=reason, left_out=left_out)
    signals = _with_baselines(task, memory, fitted)
    free = [i for i, (c, _, _, _) in enumerate(fitted) if c.kind in LABEL_FREE]
    any_best = _least(fitted, list(range(len(fitted))))
    names = [s.name for s in signals[-len(fitted) :]]
    result = replace(
        base,
        signals=signals,
        left_out=left_out,
        tried=len(free),
        best_with_labels=names[any_best],
        increments=_increments(task, memory),
    )
    if not free:
        return result
    best = _least(fitted, free)
    candidate, kept, rows, validated = fitted[best]
    p = gain_p(_losses(o, fitted, free), free.index(best))
    wide = memory.call(mean_by_family, validated.loss_difference, rows.families, 0.025 / len(free), _WIDE_RESAMPLES)
    predicted, coverage = predictions(o, candidate, kept, rows, validated.held_out, memory)
    return replace(
        result,
        best=names[best],
        beats_mean=bool(p <= 0.05 and wide.high < 0),
        beats_mean_p=p,
        least_p=least_gain_p(rows.n_families),
        coverage=coverage,
        interval_reason=least_models(rows),
        predictions=predicted,
        family_effect=memory.call(family_effect, *_for_effect(candidate, rows, validated)),
    )


_Fitted = tuple[Candidate, Integers, Rows, Validated]


def _empty(task: _Task, status: str, reason: str) -> TaskFit:
    families = np.array(task.observations.family)[task.measured]
    return TaskFit(
        task=task.observations.task,
        chance=task.observations.chance,
        n_models=len(task.measured),
        n_families=len(set(families.tolist())),
        status=status,
        reason=reason,
        interval_level=LEVEL,
    )


def _nothing(task: _Task) -> TaskFit | None:
    """Where there is nothing to fit."""
    empty = _empty(task, "not enough models", "")
    models, families = empty.n_models, empty.n_families
    if models < LEAST_MODELS or families < LEAST_FAMILIES:
        reason = f"{models} models of {families} families are measured; a fit needs {LEAST_MODELS} of {LEAST_FAMILIES}"
        if task.outside:
            reason += f" ({task.outside} values are no fractions from 0 to 1)"
        return replace(empty, reason=reason)
    accuracy, items = task.observations.accuracy[task.measured], task.observations.items[task.measured]
    if task.observations.chance is not None:
        share = at_chance(accuracy, items, task.chance)
        if share >= _NO_SIGNAL_SHARE:
            count = round(share * models)
            reason = f"{count} of {models} models stand within two standard errors of chance, or below it"
            return replace(empty, status="no signal", reason=reason)
    if np.ptp(task.target[task.measured]) == 0:
        return replace(empty, status="no signal", reason=f"all {models} models score the same")
    return None


def _fit_signals(task: _Task, memory: Cache) -> tuple[list[_Fitted], tuple[tuple[str, str], ...]]:
    measured = np.zeros(len(task.target))
    measured[task.measured] = 1
    fitted: list[_Fitted] = []
    left_out = []
    for candidate in candidates(task.observations, measured):
        found = task.rows(candidate.values, bool(candidate.choose))
        models, families = (0, 0) if found is None else (len(found[0]), found[1].n_families)
        if found is None or models < LEAST_MODELS or families < LEAST_FAMILIES:
            left_out.append((candidate.label, f"{models} models of {families} families have it, "
                             f"and it needs {LEAST_MODELS} of {LEAST_FAMILIES}"))  # fmt: skip
        elif (np.ptp(found[1].features, axis=0) == 0).all() or np.ptp(found[1].target) == 0:
            left_out.append((candidate.label, f"it, or the accuracy, is the same for all {models} models that have it"))
        else:
            validated = memory.call(validate if candidate.fits else validate_as_given, found[1])
            fitted.append((candidate, *found, validated))
    return fitted, tuple(left_out)


def _with_baselines(task: _Task, memory: Cache, fitted: list[_Fitted]) -> tuple[SignalFit, ...]:
    everybody = task.rows(np.zeros((len(task.target), 0)), False)
    assert everybody is not None
    taken: set[str] = set()
    found = [
        _signal_fit(Candidate(label, "baseline", (), np.empty(0)), memory.call(validate_mean, everybody[1], own), taken)
        for label, own in (("the mean", False), ("the family's mean", True))
    ]
    return (*found, *(_signal_fit(candidate, validated, taken) for candidate, _, _, validated in fitted))


def _signal_fit(candidate: Candidate, validated: Validated, taken: set[str]) -> SignalFit:
    stem = re.sub(r"[^a-z0-9.]+", "-", candidate.label.lower()).strip("-.")[:100] or "signal"
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, 10_000))) if n not in taken)
    taken.add(name)
    return SignalFit(
        name=name,
        label=candidate.label,
        kind=candidate.kind,
        features=candidate.features,
        by_model=validated.by_model,
        by_family=validated.by_family,
        baseline_mae=validated.baseline_mae,
        gain=validated.gain,
        curve=None if candidate.choose else validated.curve,
        depth=float(candidate.depths[validated.chosen]) if candidate.choose == "depth" else None,
        chosen=candidate.features[validated.chosen] if candidate.choose == "benchmark" else "",
    )


def _least(fitted: list[_Fitted], among: list[int]) -> int:
    """The least error relative to the mean's on the same models; a signal that few models have does not compete."""
    most = max(len(fitted[i][1]) for i in among)
    wide = [i for i in among if 2 * len(fitted[i][1]) >= most]
    return min(wide, key=lambda i: fitted[i][3].by_family.mae.value / max(fitted[i][3].baseline_mae.value, 1e-12))


def _losses(o: Observations, fitted: list[_Fitted], among: list[int]) -> Floats:
    """[families, signals] sums of loss less the mean's."""
    names, codes = np.unique(np.array(o.family), return_inverse=True)
    found = [sums_by_group(fitted[i][3].loss_difference[:, None], codes[fitted[i][1]], len(names)) for i in among]
    losses = np.column_stack(found)
    return np.asarray(losses[(losses != 0).any(1)])


def _for_effect(candidate: Candidate, rows: Rows, validated: Validated) -> tuple[Rows, tuple[str, ...]]:
    if not candidate.choose:
        return rows, candidate.features
    one = replace(rows, features=rows.features[:, [validated.chosen]], choose=False)
    return one, (candidate.label,)


def _increments(task: _Task, memory: Cache) -> tuple[Increment, ...]:
    signals = list(task.observations.signals.values())
    size = first(signals, "size")
    found = []
    for signal in signals:
        if signal.kind != "dispersion":
            continue
        perplexity = (
            first(signals, "perplexity", signal.group) if signal.group in headline_dispersions(signals) else None
        )
        known: list[tuple[str, list[Signal]]] = []
        known += [("perplexity", [perplexity])] if perplexity else []
        known += [("size", [size])] if size else []
        known += [("perplexity and size", [perplexity, size])] if perplexity and size else []
        values = signal.values if signal.values.ndim == 2 else signal.values[:, None]
        for over, parts in known:
            controls = np.column_stack([s.values for s in parts])
            rows = task.rows(np.column_stack([values, controls]), False)
            if rows is None or len(rows[0]) < LEAST_MODELS or rows[1].n_families < LEAST_FAMILIES:
                continue
            width = values.shape[1]
            of_signal = replace(rows[1], features=rows[1].features[:, :width], choose=width > 1)
            question = Question(signal.label, over, of_signal, rows[1].features[:, width:])
            found.append(memory.call(increment, question))
    return with_adjusted(found, memory.call(holm, tuple(one.p for one in found)))
