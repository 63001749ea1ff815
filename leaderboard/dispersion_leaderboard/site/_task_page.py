"""A benchmark's page: the fit, how it was validated, and the models that it gets wrong."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
from tqdm import tqdm

from dispersion_leaderboard.board import Board, Column
from dispersion_leaderboard.predictors import TaskFit
from dispersion_leaderboard.site import _charts, _words
from dispersion_leaderboard.site._output import Output
from dispersion_leaderboard.site._pages import Pages
from dispersion_leaderboard.site._svg import ChartFiles

_OUTLIERS = 10


def task_path(column: Column) -> str:
    """The page of a benchmark."""
    return f"tasks/{column.key.removeprefix('accuracy-')}.html"


def with_pages(board: Board, fits: list[TaskFit]) -> list[tuple[int, TaskFit]]:
    """The columns that have a page, with their fits."""
    positions = [i for i in board.of_kind("accuracy") if not board.columns[i].in_group]
    return list(zip(positions, fits, strict=True))


def write_tasks(output: Output, pages: Pages, charts: ChartFiles, board: Board, fits: list[TaskFit]) -> None:
    """Every benchmark's page with its charts."""
    for position, fit in tqdm(with_pages(board, fits), desc="Benchmarks", unit="page", delay=1):
        column = board.columns[position]
        measured = np.isfinite(board.values[:, position])
        page = pages.render(
            "task.html",
            task_path(column),
            column=column,
            fit=fit,
            verdict=_words.verdict(fit),
            measured=int(measured.sum()),
            families=int(board.entries["family"][measured].nunique()),
            captions=charts.write(_task_charts(board, position, fit)),
            outliers=_outliers(board, fit),
            by_family=_by_family(board, fit),
            increments=[(found, _words.increment(found)) for found in fit.increments],
            best=_words.signal_named(fit, fit.best),
        )
        output.write(task_path(column), page)


def _task_charts(board: Board, position: int, fit: TaskFit) -> dict[str, tuple[str, _charts.Spec]]:
    """(caption, specification) by name of every chart that has something to show."""
    column = board.columns[position]
    stem = column.key.removeprefix("accuracy-")
    found: dict[str, tuple[str, _charts.Spec | None]] = {}
    own = [j for j in board.of_kind("prompts") if board.columns[j].name == column.name]
    for signal in own + board.of_kind("dispersion"):
        label = board.columns[signal].label
        of_signal = next((s for s in fit.signals if s.label == f"{label}, last layer" and len(s.features) == 1), None)
        caption = f"{label}, last hidden state, against accuracy on {column.label}"
        if of_signal is None or of_signal.curve is None:
            caption += "; no fit"
        else:
            r2 = _words.estimate(of_signal.by_family.r2)
            caption += f"; line: fit on all {of_signal.by_family.n_models} models, R² on families left out {r2}"
        spec = _charts.dispersion_against_accuracy(board, position, signal, of_signal)
        found[f"{stem}-{board.columns[signal].key}"] = (caption, spec)
    if best := _words.signal_named(fit, fit.best):
        caption = f"Predicted by {best.label} with the model's family left out, against measured"
        found[f"{stem}-predicted"] = (caption, _charts.predicted_against_measured(board, fit))
        caption = "Residuals of these predictions; each family is predicted from the others"
        found[f"{stem}-residuals"] = (caption, _charts.residuals(board, fit))
    return {name: (caption, spec) for name, (caption, spec) in found.items() if spec is not None}


def _outliers(board: Board, fit: TaskFit) -> list[dict[str, Any]]:
    """The models predicted worst, and whether their interval holds what was measured."""
    about = board.entries.set_index("entry")
    found = [
        p
        for p in fit.predictions
        if p.measured is not None and math.isfinite(p.measured) and math.isfinite(p.predicted)
    ]
    found.sort(key=lambda p: -abs(p.predicted - (p.measured or 0)))
    return [
        {
            "title": about.at[p.entry, "title"],
            "path": about.at[p.entry, "path"],
            "family": about.at[p.entry, "family"],
            "prediction": p,
            "residual": 100 * ((p.measured or 0) - p.predicted),
            "inside": None if not math.isfinite(p.low) else p.low <= (p.measured or 0) <= p.high,
        }
        for p in found[:_OUTLIERS]
    ]


def _by_family(board: Board, fit: TaskFit) -> list[dict[str, Any]]:
    """Mean absolute error of each family when it is left out."""
    family = dict(zip(board.entries["entry"], board.entries["family"], strict=True))
    errors: dict[str, list[float]] = defaultdict(list)
    for p in fit.predictions:
        if p.measured is not None and math.isfinite(p.measured) and math.isfinite(p.predicted):
            errors[family[p.entry]].append(100 * (p.predicted - p.measured))
    return [
        {"family": name, "models": len(e), "mae": float(np.abs(e).mean()), "bias": float(np.mean(e))}
        for name, e in sorted(errors.items())
    ]
