"""``dispersion-leaderboard predict``: one model's accuracy without labels, and when not to trust the number."""

from __future__ import annotations

import math

import numpy as np

from dispersion_leaderboard.board import Board, domain_observations, observations, one_of
from dispersion_leaderboard.predictors import Prediction, predict, predict_domain


def answer_task(board: Board, task: str, model: str) -> str:
    """The text that answers what a model would score on a benchmark.

    Raises:
        SystemExit: for a benchmark or model that is not in the results, or one that cannot be predicted, in one line.
    """
    sets = {one.task: one for one in observations(board)}
    named = {column.label: {column.label, column.name, column.task} for column in board.columns}
    label = one_of([one for one in sets if task in named[one]], task, "benchmark", list(sets))
    entry, title = _entry(board, model)
    prediction, fit = predict(sets[label], entry)
    best = next(signal for signal in fit.signals if signal.name == fit.best)
    scores = best.by_family
    lines = [f"{title} on {label}: {_shown(prediction, fit.interval_level)}"]
    if prediction.measured is not None:
        lines.append(f"measured: {100 * prediction.measured:.1f} % (its family was left out of the prediction)")
    lines += [
        f"by {best.label}, the best of {fit.tried} label-free signals, from {scores.n_models} models of "
        f"{scores.n_families} families",
        f"validated with whole families left out: error {scores.mae.value:.1f} points, where the mean errs "
        f"{best.baseline_mae.value:.1f}",
    ]
    if fit.coverage is not None and math.isfinite(fit.coverage.value):
        level, held = 100 * fit.interval_level, 100 * fit.coverage.value
        lines.append(f"intervals at {level:.0f} % held {held:.0f} % of the models left out")
    return "\n".join([*lines, *(f"do not trust it blindly: {warning}" for warning in prediction.warnings)])


def answer_domain(board: Board, corpus: str, model: str) -> str:
    """The text that answers what accuracy to expect on a domain of which there is only text.

    Raises:
        SystemExit: likewise.
    """
    columns = board.of_kind("dispersion", "prompts")
    names = {i: {board.columns[i].label, board.columns[i].name, board.columns[i].task} for i in columns}
    entry, title = _entry(board, model)
    position = int(np.flatnonzero(board.entries["entry"] == entry)[0])
    there = [i for i in columns if corpus in names[i] and math.isfinite(board.values[position, i])]
    if not there:
        known = sorted({board.columns[i].name for i in columns if math.isfinite(board.values[position, i])})
        raise SystemExit(f"leaderboard: no D of {title} on {corpus}; there is one on: {', '.join(known) or 'nothing'}")
    d = float(board.values[position, there[0]])
    prediction, fit = predict_domain(domain_observations(board), entry, d)
    signal = next(s for s in fit.signals if s.label == prediction.signal)
    lines = [
        f"{title} on {board.columns[there[0]].name} (D {d:.3f}): {_shown(prediction, fit.interval_level)}",
        f"by {signal.label}, from {fit.n_models} models on {fit.n_domains} domains ({fit.name})",
        f"validated with whole domains left out: error {signal.known.mae.value:.1f} points",
    ]
    return "\n".join([*lines, *(f"do not trust it blindly: {warning}" for warning in prediction.warnings)])


def _shown(prediction: Prediction, level: float) -> str:
    text = f"predicted accuracy {100 * prediction.predicted:.1f} %"
    if math.isfinite(prediction.low):
        text += f", {100 * level:.0f} % interval {100 * prediction.low:.1f} to {100 * prediction.high:.1f} %"
    return text


def _entry(board: Board, model: str) -> tuple[str, str]:
    rows = board.entries[(board.entries["title"] == model) | (board.entries["model"] == model)]
    one_of(list(rows["title"]), model, "model", list(board.entries["title"]))
    return str(rows["entry"].iat[0]), str(rows["title"].iat[0])
