"""The queue as it was read, for those who only look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispersion_leaderboard.requests._states import Entry, State


@dataclass(frozen=True)
class QueueView:
    """All requests at one moment."""

    entries: Mapping[str, Entry]
    """By key of the request."""
    logs: Mapping[str, str]
    """By key: the last lines of the last run, of requests that have ended."""

    def positions(self) -> dict[str, int]:
        """The place of each pending request in the queue, 1 for the next: the oldest first."""
        pending = [(e.submitted, key) for key, e in self.entries.items() if e.state is State.PENDING]
        return {key: place for place, (_, key) in enumerate(sorted(pending), 1)}
