"""The label-free signals beside D and perplexity, as the predictors take them."""

from __future__ import annotations

import numpy as np

from dispersion_leaderboard.board._board import Board
from dispersion_leaderboard.board._columns import Column
from dispersion_leaderboard.predictors import Signal, average_thresholded_confidence, difference_of_confidences
from dispersion_leaderboard.records import SIGNALS

_SCORED_BY = {"acc_norm": "confidence_by_length"}
"""Whose confidence an accuracy asks for: that in the answer which it scores."""


def confidence_of(board: Board, accuracy: int) -> int | None:
    """The column of the mean confidence in the answers that a column of accuracy scores; None where there is none."""
    wanted = _SCORED_BY.get(board.columns[accuracy].metric, "confidence")
    return next((j for j in _of_answers(board, accuracy) if board.columns[j].metric == wanted), None)


def own_signals(board: Board, accuracy: int) -> list[Signal]:
    """Of a benchmark: what its answers say of themselves, and its prompts beside D.

    They bear one label on every benchmark, so that they can be followed from one to the next.
    """
    found = [_signal(board, j, SIGNALS[board.columns[j].metric].label) for j in _of_answers(board, accuracy)]
    for j in board.of_kind("prompt-signal"):
        column = board.columns[j]
        if column.name == board.columns[accuracy].name:
            # Texts or layers that do not compare are told apart.
            known = f"{SIGNALS[column.metric].label} of prompts"
            found.append(_signal(board, j, known + column.label.removeprefix(f"{known}, {column.name}")))
    return found


def shared_signals(board: Board) -> list[Signal]:
    """Of corpora beside D and perplexity, and of the model's output matrix."""
    return [_signal(board, j, board.columns[j].label) for j in board.of_kind("corpus-signal", "gap")]


def unfitted(board: Board, accuracy: int, source: int | None) -> list[Signal]:
    """Predictions of a benchmark's accuracy without a fit: AC, and from a labelled source DoC and ATC.

    Args:
        board: with all of them.
        accuracy: the column of the benchmark to predict.
        source: that of the benchmark with labels, where there is one; it does not predict itself.
    """
    of_target = confidence_of(board, accuracy)
    if of_target is None:
        return []
    confidence = board.values[:, of_target]
    found = {"AC": confidence}
    of_source = None if source is None else confidence_of(board, source)
    if source is not None and of_source is not None and board.columns[source].name != board.columns[accuracy].name:
        known, label = board.values[:, source], board.columns[source].label
        found[f"DoC from {label}"] = difference_of_confidences(known, board.values[:, of_source], confidence)
        lists = zip(known.tolist(), board.quantiles[of_source], board.quantiles[of_target], strict=True)
        found[f"ATC from {label}"] = np.array(
            [
                np.nan if here is None or there is None else average_thresholded_confidence(share, here, there)
                for share, here, there in lists
            ]
        )
    return [Signal(f"{name}, no fit", "unfitted", values, "") for name, values in found.items()]


def _of_answers(board: Board, accuracy: int) -> list[int]:
    """Columns of the same questions, asked in the same way."""
    same = _asked(board.columns[accuracy])
    return [j for j in board.of_kind("answers") if _asked(board.columns[j]) == same]


def _asked(column: Column) -> tuple[str, str, int | None, int | None]:
    return column.name, column.version, column.n_shot, column.documents


def _signal(board: Board, j: int, label: str) -> Signal:
    column = board.columns[j]
    kind = "gap" if column.kind == "gap" else SIGNALS[column.metric].kind
    return Signal(label, kind, board.values[:, j], "" if kind == "gap" else column.name)
