"""The overview's columns: what each holds, in what form, and how a cell of it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from dispersion_leaderboard.board import Board
from dispersion_leaderboard.predictors import TaskFit

Cell = Any
"""Plain JSON; its form depends on the field's type."""

MISSING = "–"
_SHOWN_BY_DEFAULT = {"dispersion": 3, "perplexity": 1, "accuracy": 6}
_NUMBERS = {
    "dispersion": ("D, last hidden state", "number"),
    "perplexity": ("Bits per byte", "number"),
    "accuracy": ("Accuracy, %", "percent"),
    "prompts": ("D of prompts, last hidden state", "number"),
    "answers": ("Mean confidence, %", "percent"),
    "gap": ("G of the output matrix", "number"),
}
"""Heading and form of what is measured, by kind of column."""


@dataclass(frozen=True)
class Field:
    """One column of the overview."""

    key: str
    label: str
    group: str
    """Heading in the column picker."""
    type: str
    """``text``, ``model`` [title, path], ``rank`` [best, worst, tie group], ``count``, ``coverage`` [measured, of,
    missing], ``number`` or ``percent`` [value, standard error], ``interval`` [predicted, low, high]."""
    shown: bool
    """Unless the visitor chooses otherwise."""


def fields_of(board: Board, fits: list[TaskFit]) -> list[Field]:
    """Every column, in order."""
    about = board.entries
    few = board.of_kind("dispersion")[: _SHOWN_BY_DEFAULT["dispersion"]]
    few += board.of_kind("perplexity")[: _SHOWN_BY_DEFAULT["perplexity"]]
    few += [*board.ranked][: _SHOWN_BY_DEFAULT["accuracy"]] or board.of_kind("accuracy")[
        : _SHOWN_BY_DEFAULT["accuracy"]
    ]
    fields = [
        Field("rank", "Rank", "Model", "rank", bool(board.ranked)),
        Field("model", "Model", "Model", "model", True),
        Field("family", "Family", "Model", "text", True),
        Field("parameters", "Parameters", "Model", "count", True),
        Field(
            "active",
            "Active parameters",
            "Model",
            "count",
            bool((about["active_parameters"] != about["parameters"]).any()),
        ),
        Field("licence", "Licence", "Model", "text", bool(about["licence"].astype(bool).any())),
        Field("precision", "Precision", "Model", "text", True),
        Field("kind", "Base or fine-tune", "Model", "text", bool(about["model_kind"].astype(bool).all())),
        Field("engine", "Engine", "Model", "text", about["engine"].nunique() > 1),
        Field("coverage", "Coverage", "Model", "coverage", bool(board.ranked)),
        Field("score", "Mean accuracy over chance", "Accuracy, %", "percent", len(board.ranked) > 1),
    ]
    for kind, (group, form) in _NUMBERS.items():
        fields += [
            Field(board.columns[i].key, board.columns[i].label, group, form, i in few) for i in _positions(board, kind)
        ]
    fitted = [fit for fit in fits if fit.status == "fitted"]
    for k, fit in enumerate(fitted):
        key = next(c.key for c in board.columns if c.kind == "accuracy" and c.label == fit.task)
        fields.append(Field(f"predicted-{key}", f"{fit.task}, predicted", "Predicted accuracy, %", "interval", k == 0))
    return fields


def rows_of(board: Board, fits: list[TaskFit]) -> list[list[Cell]]:
    """One list of cells an entry, in the order of the fields."""
    predictions = [{p.entry: p for p in fit.predictions} for fit in fits if fit.status == "fitted"]
    order = [i for kind in _NUMBERS for i in _positions(board, kind)]
    rows = []
    for i, about in enumerate(board.entries.to_dict("records")):
        missing = [board.columns[j].label for j in board.ranked if not math.isfinite(board.values[i, j])]
        row: list[Cell] = [
            [int(board.ranks.best[i]), int(board.ranks.worst[i]), int(board.ranks.group[i])]
            if board.ranks.best[i]
            else None,
            [about["title"], about["path"]],
            about["family"],
            _count(about["parameters"]),
            _count(about["active_parameters"]),
            about["licence"],
            f"{about['dtype']} {about['quantisation']}".strip(),
            about["model_kind"],
            about["engine"],
            [len(board.ranked) - len(missing), len(board.ranked), missing],
            _pair(board.ranks.score[i], board.ranks.stderr[i]),
        ]
        row += [_pair(board.values[i, j], board.stderr[i, j]) for j in order]
        row += [_interval(of_task.get(about["entry"])) for of_task in predictions]
        rows.append(row)
    return rows


def _positions(board: Board, kind: str) -> list[int]:
    """Of what answers say of themselves only AC, of whole benchmarks: the pages of models hold all."""
    found = board.of_kind(kind)
    if kind != "answers":
        return found
    return [i for i in found if board.columns[i].metric == "confidence" and not board.columns[i].in_group]


def text_of(field: Field, cell: Cell) -> str:
    """How a cell reads; ``assets/format.js`` says the same, and a test holds the two together."""
    if cell is None or cell == "":
        return "unranked" if field.type == "rank" else MISSING
    if field.type == "rank":
        best, worst, _ = cell
        return str(best) if best == worst else f"{best}–{worst}"
    if field.type == "model":
        return str(cell[0])
    if field.type == "count":
        return count_text(cell)
    if field.type == "coverage":
        measured, total, missing = cell
        return (
            f"{measured}/{total}"
            + (f", misses {', '.join(missing[:2])}" if missing else "")
            + (f" and {len(missing) - 2} more" if len(missing) > 2 else "")
        )
    if field.type == "number":
        return fixed(cell[0], 3) + ("" if cell[1] is None else f" ± {fixed(cell[1], 3)}")
    if field.type == "percent":
        return fixed(100 * cell[0], 1) + ("" if cell[1] is None else f" ± {fixed(100 * cell[1], 1)}")
    if field.type == "interval":
        bounds = "" if cell[1] is None else f" [{fixed(100 * cell[1], 1)}, {fixed(100 * cell[2], 1)}]"
        return f"{fixed(100 * cell[0], 1)}{bounds}"
    return str(cell)


def count_text(count: int) -> str:
    """135M, 7.2B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= size:
            shown = count / size
            return f"{fixed(shown, 0 if shown >= 100 else 1)}{unit}"
    return str(count)


def fixed(value: float, digits: int) -> str:
    """As JavaScript's ``toFixed`` rounds: a half that is exact goes up, where Python's formats take the even digit."""
    # Adding zero takes the sign from a zero.
    return str(Decimal(value + 0.0).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def _count(value: object) -> int | None:
    return None if value is None or value != value or str(value) == "<NA>" else int(str(value))


def _pair(value: float, stderr: float) -> list[float | None] | None:
    return [_round(value), _round(stderr)] if math.isfinite(value) else None


def _interval(prediction: Any) -> list[float | None] | None:
    if prediction is None or not math.isfinite(prediction.predicted):
        return None
    return [_round(prediction.predicted), _round(prediction.low), _round(prediction.high)]


def _round(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None
