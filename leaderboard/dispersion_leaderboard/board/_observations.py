"""What the predictors learn from: for each benchmark its accuracies, and every label-free signal beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dispersion_leaderboard.board._board import Board
from dispersion_leaderboard.board._signals import confidence_of, own_signals, shared_signals, unfitted
from dispersion_leaderboard.predictors import DomainObservations, Observations, Signal

Floats = NDArray[np.float64]

_FEWEST_DOMAINS = 8
DEPTHS = np.linspace(0, 1, 21)
"""Relative depths (0 the embeddings, 1 the last hidden state) at which profiles of unequal length are compared."""


def observations(board: Board, source: int | None = None) -> list[Observations]:
    """One set a benchmark that stands for itself.

    Args:
        board: with all of them.
        source: the column of accuracy from which the others are predicted without a fit, where there is one.

    Raises:
        SystemExit: where the source's confidence was not recorded, in one line.
    """
    if source is not None and confidence_of(board, source) is None:
        told = board.columns[source].label
        raise SystemExit(
            f"leaderboard: no confidence was recorded on {told}; wrap it (docs/add-a-task.md) and measure again"
        )
    shared = _signals(board)
    found = []
    for i in board.of_kind("accuracy"):
        column = board.columns[i]
        if column.in_group:
            continue
        own = [j for j in board.of_kind("prompts") if board.columns[j].name == column.name]
        others = [
            Signal(f"accuracy on {board.columns[j].label}", "benchmark", board.values[:, j], "")
            for j in board.of_kind("accuracy")
            if j != i and not board.columns[j].in_group and board.columns[j].name != column.name
        ]
        given = unfitted(board, i, source)
        d = [signal for j in own for signal in _dispersion(board, j)]
        signals = [*d, *own_signals(board, i), *shared, *others, *given]
        found.append(
            Observations(
                task=column.label,
                entries=tuple(board.entries["entry"]),
                family=tuple(board.entries["family"]),
                tokenizer=tuple(board.entries["tokenizer"]),
                accuracy=board.values[:, i],
                items=board.n[:, i],
                chance=column.chance,
                signals={signal.label: signal for signal in signals},
            )
        )
    return found


def _signals(board: Board) -> list[Signal]:
    signals = [signal for j in board.of_kind("dispersion") for signal in _dispersion(board, j)]
    for j in board.of_kind("perplexity"):
        column = board.columns[j]
        signals.append(Signal(column.label, "perplexity", board.values[:, j], column.name))
    signals += shared_signals(board)
    parameters = board.entries["parameters"].astype(float).to_numpy()
    compute = board.entries["training_compute"].astype(float).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        signals.append(Signal("log parameters", "size", np.log(parameters), ""))
        if np.isfinite(compute).any():
            signals.append(Signal("log training compute", "compute", np.log(compute), ""))
    return signals


def _dispersion(board: Board, j: int) -> list[Signal]:
    column = board.columns[j]
    profile = _on_grid(board.profiles[j])
    upper = profile[:, DEPTHS >= 0.5].mean(1)
    return [
        Signal(f"{column.label}, last layer", "dispersion", board.values[:, j], column.name),
        Signal(f"{column.label}, best layer", "dispersion", profile, column.name),
        Signal(f"{column.label}, upper half", "dispersion", upper, column.name),
    ]


def _on_grid(profiles: list[Floats | None]) -> Floats:
    """[entries, depths]: profiles of any length, interpolated to the common depths; NaN where there is none."""
    found = np.full((len(profiles), len(DEPTHS)), np.nan)
    lengths = np.array([0 if p is None else len(p) for p in profiles])
    for length in np.unique(lengths[lengths > 1]):
        rows = np.flatnonzero(lengths == length)
        at = DEPTHS * (length - 1)
        below = np.minimum(at.astype(int), length - 2)
        share = at - below
        stacked = np.stack([p for i in rows if (p := profiles[i]) is not None])
        found[rows] = stacked[:, below] * (1 - share) + stacked[:, below + 1] * share
    return found


def domain_observations(board: Board) -> DomainObservations:
    """Domains with labels and with the D of their prompts: the subjects of a group, or else whole benchmarks."""
    subjects = [i for i in board.of_kind("accuracy") if board.columns[i].in_group]
    prompts = {board.columns[j].name: j for j in board.of_kind("prompts")}
    pairs = [(i, prompts[board.columns[i].name]) for i in subjects if board.columns[i].name in prompts]
    name = "subjects"
    if len(pairs) < _FEWEST_DOMAINS:
        whole = [i for i in board.of_kind("accuracy") if not board.columns[i].in_group]
        pairs = [(i, prompts[board.columns[i].name]) for i in whole if board.columns[i].name in prompts]
        name = "benchmarks"
    labelled, own = [i for i, _ in pairs], [j for _, j in pairs]
    chances = [board.columns[i].chance for i in labelled]
    unknown = np.full(len(board.entries), np.nan)
    confidences = [unknown if (j := confidence_of(board, i)) is None else board.values[:, j] for i in labelled]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_parameters = np.log(board.entries["parameters"].astype(float).to_numpy())
    return DomainObservations(
        name=name,
        entries=tuple(board.entries["entry"]),
        family=tuple(board.entries["family"]),
        domains=tuple(board.columns[i].label for i in labelled),
        dispersion=board.values[:, own],
        accuracy=board.values[:, labelled],
        items=board.n[:, labelled],
        chance=np.array([np.nan if c is None else c for c in chances], dtype=float),
        log_parameters=log_parameters,
        confidence=np.column_stack([np.empty((len(board.entries), 0)), *confidences]),
    )
