"""The queue for those who only look at it, such as the site."""

from __future__ import annotations

from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.requests._queue import Queue
from dispersion_leaderboard.requests._request import BadRequest
from dispersion_leaderboard.requests._states import State
from dispersion_leaderboard.requests._view import QueueView
from dispersion_leaderboard.store import open_tree

_LOGS = 1000
"""Of failed requests, the newest: each is a file of its own to fetch."""


def read_queue(place: str) -> QueueView:
    """A queue with the logs of what has failed.

    Args:
        place: a folder, or ``hf://datasets/ORG/NAME``.

    Raises:
        SystemExit: where it cannot be read, in one line.
    """
    queue = Queue(open_tree(place, write=False))
    try:
        entries = queue.entries()
        failed = [key for key, entry in entries.items() if entry.state is State.FAILED]
        newest = sorted(failed, key=lambda key: (entries[key].since, key), reverse=True)[:_LOGS]
        return QueueView(entries, queue.logs(newest))
    except (Refused, BadRequest) as error:
        raise SystemExit(f"leaderboard: {error}") from error
