"""Predictions of every entry by the chosen predictor, and how far its intervals can be believed."""

from __future__ import annotations

import numpy as np

from dispersion_leaderboard.predictors._cache import Cache
from dispersion_leaderboard.predictors._candidates import Candidate
from dispersion_leaderboard.predictors._intervals import held_out_intervals, intervals
from dispersion_leaderboard.predictors._observations import Floats, Integers, Observations
from dispersion_leaderboard.predictors._results import Estimate, Prediction
from dispersion_leaderboard.predictors._rows import Rows
from dispersion_leaderboard.predictors._scores import mean_by_family
from dispersion_leaderboard.predictors._target import to_accuracy


def predictions(
    o: Observations, candidate: Candidate, kept: Integers, rows: Rows, held_out: Floats, memory: Cache
) -> tuple[tuple[Prediction, ...], Estimate | None]:
    """Of all entries with the features, and the measured coverage of the intervals (None where there are none).

    Args:
        o: sorted by entry.
        candidate: the predictor.
        kept: positions of ``rows``.
        rows: it is fitted on.
        held_out: [rows] predicted fractions, the family left out.
        memory: of intervals.
    """
    low, high = memory.call(held_out_intervals, rows)
    low, high = to_accuracy(low, rows.chance), to_accuracy(high, rows.chance)
    coverage = _coverage(rows, low, high)
    measured = np.zeros(len(o.entries), dtype=bool)
    measured[kept] = True
    others = np.flatnonzero(~measured & np.isfinite(candidate.values).all(1))
    found: dict[int, tuple[float, float, float]] = {}
    for i, *numbers in zip(kept.tolist(), held_out, low, high, strict=True):
        found[i] = (float(numbers[0]), float(numbers[1]), float(numbers[2]))
    if len(others):
        new = candidate.values[others]
        central = rows.estimator().fit(rows.features, rows.target).predict(new)
        ends = memory.call(intervals, rows, new)
        columns = [to_accuracy(v, rows.chance) for v in (central, *ends)]
        for i, *numbers in zip(others.tolist(), *columns, strict=True):
            found[i] = (float(numbers[0]), float(numbers[1]), float(numbers[2]))
    warnings = _warnings(o, candidate, kept, rows, others)
    return tuple(
        Prediction(
            entry=o.entries[i],
            predicted=found[i][0],
            low=found[i][1],
            high=found[i][2],
            measured=float(o.accuracy[i]) if np.isfinite(o.accuracy[i]) else None,
            warnings=warnings.get(i, ()),
            signal=candidate.label,
        )
        for i in sorted(found)
    ), coverage


def _coverage(rows: Rows, low: Floats, high: Floats) -> Estimate | None:
    defined = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    if not len(defined):
        return None
    inside = (low <= rows.accuracy) & (rows.accuracy <= high)
    return mean_by_family(inside[defined].astype(float), np.unique(rows.families[defined], return_inverse=True)[1])


def _warnings(
    o: Observations, candidate: Candidate, kept: Integers, rows: Rows, others: Integers
) -> dict[int, tuple[str, ...]]:
    """Of a measured entry its family is left out anyway, so only the range can surprise."""
    columns = range(rows.features.shape[1]) if not candidate.choose else []
    found: dict[int, list[str]] = {}
    for k in columns:
        label, values = candidate.features[k], rows.features[:, k]
        least, most = (_without_family(sign * values, rows.families) * sign for sign in (1, -1))
        for i, a, b in zip(kept.tolist(), least, most, strict=True):
            _note_range(found, i, label, float(candidate.values[i, k]), float(a), float(b))
        for i in others.tolist():
            _note_range(found, i, label, float(candidate.values[i, k]), float(values.min()), float(values.max()))
    families, tokenizers = {o.family[i] for i in kept}, {o.tokenizer[i] for i in kept}
    for i in others.tolist():
        if o.family[i] not in families:
            found.setdefault(i, []).append("family not seen")
        if o.tokenizer[i] not in tokenizers:
            found.setdefault(i, []).append("tokenizer not seen")
    return {i: tuple(said) for i, said in found.items()}


def _without_family(values: Floats, families: Integers) -> Floats:
    """[n] the least value among the other families' models."""
    least = np.full(int(families.max()) + 1, np.inf)
    np.minimum.at(least, families, values)
    lowest = int(least.argmin())
    second = np.delete(least, lowest).min()
    return np.asarray(np.where(families == lowest, second, least[lowest]))


def _note_range(found: dict[int, list[str]], i: int, label: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        found.setdefault(i, []).append(f"{label} of {value:.4g} is outside the range seen ({least:.4g} to {most:.4g})")
