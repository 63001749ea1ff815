"""What D adds to perplexity and size: partial correlation, error, and a p-value that counts families as n.

p is that of the restricted wild cluster bootstrap with Rademacher signs of families (Cameron, Gelbach and Miller,
*Bootstrap-based improvements for inference with clustered errors*, 2008), computed from sums by family (Roodman,
MacKinnon, Nielsen and Webb, *Fast and wild*, 2019). For the best layer the largest statistic over depths is held
against the largest of each flip, so the choice of the depth is paid for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from statsmodels.stats.multitest import multipletests

from dispersion_leaderboard.predictors._flips import flips, p_value
from dispersion_leaderboard.predictors._folds import leave_out, leave_out_joint, sums_by_group
from dispersion_leaderboard.predictors._observations import Floats, Integers
from dispersion_leaderboard.predictors._results import Estimate, Increment
from dispersion_leaderboard.predictors._rows import Rows
from dispersion_leaderboard.predictors._scores import estimate, mean_by_family, weights
from dispersion_leaderboard.predictors._target import to_accuracy

_DRAWS = 1000
_SINGULAR = 1e-9
_NAN = float("nan")


@dataclass(frozen=True)
class Question:
    """Does this D add to that?"""

    signal: str
    over: str
    rows: Rows
    """Features: D, or its depths."""
    controls: Floats
    """[n, controls]"""


def increment(question: Question) -> Increment:
    """The answer, p not yet corrected."""
    rows, controls = question.rows, question.controls
    count = rows.n_families
    partial, p = _partial(rows.features, rows.target, controls, rows.families, count)
    alone = to_accuracy(leave_out(controls, rows.target, rows.families), rows.chance)
    joint = to_accuracy(leave_out_joint(controls, rows.features, rows.target, rows.families), rows.chance)
    change = 100 * (np.abs(joint - rows.accuracy) - np.abs(alone - rows.accuracy))
    return Increment(
        signal=question.signal,
        over=question.over,
        partial=partial,
        p=p,
        p_adjusted=p,
        least_p=2 / len(flips(count, _DRAWS)) if count <= 12 else 1 / _DRAWS,
        mae_difference=mean_by_family(change, rows.families),
        n_models=len(rows.target),
        n_families=count,
    )


def holm(p_values: tuple[float, ...]) -> tuple[float, ...]:
    """Corrected for all questions asked together; NaN stays out."""
    adjusted = np.full(len(p_values), np.nan)
    defined = np.isfinite(p_values)
    if defined.any():
        adjusted[defined] = multipletests(np.array(p_values)[defined], method="holm")[1]
    return tuple(map(float, adjusted))


def with_adjusted(found: list[Increment], adjusted: tuple[float, ...]) -> tuple[Increment, ...]:
    """The answers with their corrected p."""
    return tuple(replace(one, p_adjusted=p) for one, p in zip(found, adjusted, strict=True))


def _partial(x: Floats, y: Floats, controls: Floats, families: Integers, count: int) -> tuple[Estimate, float]:
    x, y, z = _standard(x), _standard(y[:, None]), _standard(controls)
    z = np.column_stack([np.ones(len(y)), z])
    residual_x, residual_y = (v - z @ np.linalg.lstsq(z, v, rcond=None)[0] for v in (x, y))
    left_x, left_y = (residual_x**2).mean(0), float((residual_y**2).mean())
    if left_y < _SINGULAR or (left_x < _SINGULAR).all():
        return Estimate(_NAN, _NAN, _NAN, "what it is held against explains it, or the accuracy, entirely"), _NAN
    kept = left_x >= _SINGULAR
    x, residual_x = x[:, kept], residual_x[:, kept]
    r = (residual_x * residual_y).mean(0) / np.sqrt(left_x[kept] * left_y)
    if count < 3:
        return Estimate(_largest(r[None])[0], _NAN, _NAN, "fewer than 3 families"), _NAN
    resampled = np.column_stack([_resampled(np.column_stack([z, c, y]), families, count) for c in x.T])
    return estimate(_largest(r[None])[0], _largest(resampled)), _wild_p(residual_x, residual_y, z, families, count)


def _largest(r: Floats) -> Floats:
    """Of every row the correlation furthest from 0: the depth is chosen anew in each resample."""
    defined = np.isfinite(r).all(1)
    found = np.full(len(r), np.nan)
    found[defined] = r[defined, np.abs(r[defined]).argmax(1)]
    return found


def _resampled(columns: Floats, families: Integers, count: int) -> Floats:
    """Partial correlation of the last two columns given the others, by resample of families."""
    size = columns.shape[1]
    by_family = sums_by_group((columns[:, :, None] * columns[:, None, :]).reshape(len(columns), -1), families, count)
    drawn = weights(count)
    sums = (drawn @ by_family).reshape(len(drawn), size, size) / len(columns)
    regular = np.linalg.eigvalsh(sums)[:, 0] > _SINGULAR
    found = np.full(len(drawn), np.nan)
    inverse = np.linalg.inv(sums[regular])
    found[regular] = -inverse[:, -2, -1] / np.sqrt(inverse[:, -2, -2] * inverse[:, -1, -1])
    return found


def _wild_p(x: Floats, y: Floats, z: Floats, families: Integers, count: int) -> float:
    """Args: residuals of the features and of the target on the controls z, which hold the constant."""
    signs = flips(count, _DRAWS)
    # Flipping all signs leaves |t| as it is, so half of an enumeration says all.
    signs = signs[signs[:, 0] > 0] if count <= 12 else signs
    z_y = signs @ sums_by_group(z * y, families, count) @ np.linalg.pinv(z.T @ z)
    t = np.zeros((len(signs), x.shape[1]))
    for k, column in enumerate(x.T):
        score = sums_by_group(column * y[:, 0], families, count)
        spread = sums_by_group(column * column, families, count)
        slope = signs @ score / spread.sum()
        flipped = signs * score - z_y @ sums_by_group(column[:, None] * z, families, count).T - slope[:, None] * spread
        with np.errstate(divide="ignore", invalid="ignore"):
            t[:, k] = np.abs(slope) * spread.sum() / np.sqrt((flipped**2).sum(1))
    largest = t.max(1)
    return p_value(float(largest[0]), largest) if np.isfinite(largest[0]) else _NAN


def _standard(x: Floats) -> Floats:
    scale = x.std(0)
    return np.asarray((x - x.mean(0)) / np.where(scale > 0, scale, 1))
