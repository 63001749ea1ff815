"""What a user types for a benchmark or a model, and the one thing that it stands for."""

from __future__ import annotations

from difflib import get_close_matches

from dispersion_leaderboard.board._board import Board


def one_of(found: list[str], wanted: str, what: str, known: list[str]) -> str:
    """The one that was found.

    Args:
        found: all that ``wanted`` may stand for.
        wanted: as typed.
        what: kind of thing, as ``benchmark``.
        known: all there are, for a hint.

    Raises:
        SystemExit: where it is none or several, in one line.
    """
    if not found:
        near = get_close_matches(wanted, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known)[:8]) or 'none'}"
        raise SystemExit(f"leaderboard: no {what} {wanted} in the results; {hint}")
    if len(found) > 1:
        raise SystemExit(f"leaderboard: {wanted} may be any of: {'; '.join(found)}; name one of these")
    return found[0]


def labelled(board: Board, wanted: str) -> int:
    """The column of accuracy that goes by this label, name or task.

    Raises:
        SystemExit: where it is none or several, in one line.
    """
    by_label = {board.columns[i].label: i for i in board.of_kind("accuracy")}
    exact = [wanted] if wanted in by_label else []
    named = [label for label, i in by_label.items() if wanted in (board.columns[i].name, board.columns[i].task)]
    return by_label[one_of(exact or named, wanted, "benchmark", list(by_label))]
