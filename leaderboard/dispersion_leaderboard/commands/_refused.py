"""What the Hub or the queue refuses, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_line() -> Iterator[None]:
    """Ends the command with the reason, without a traceback."""
    from dispersion_leaderboard.hub import Refused
    from dispersion_leaderboard.requests import BadRequest

    try:
        yield
    except (Refused, BadRequest) as error:
        raise SystemExit(f"leaderboard: {error}") from error
