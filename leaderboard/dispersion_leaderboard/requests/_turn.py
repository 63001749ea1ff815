"""Requests that a person names, and taking back what was decided about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone

from dispersion_leaderboard.requests._queue import Change, Entries, Queue
from dispersion_leaderboard.requests._states import Entry, State, stamp


def told(entry: Entry) -> str:
    """A state in one line."""
    return entry.state.value + (f" ({entry.reason.value}): {entry.detail}" if entry.reason else "")


def find(entries: Entries, wanted: str) -> list[str]:
    """Keys of the requests that an id, the beginning of one, or a model's name means.

    Raises:
        SystemExit: where there is none.
    """
    found = [
        key for key, entry in entries.items() if entry.model == wanted or (len(wanted) >= 6 and key.startswith(wanted))
    ]
    if not found:
        raise SystemExit(f"leaderboard: no request {wanted} in the queue; `status` lists them")
    return sorted(found, key=lambda key: (entries[key].submitted, key))


def requeue(queue: Queue, wanted: Iterable[str]) -> list[str]:
    """Puts what has failed, was rejected or cancelled back into the queue, with all its attempts; returns lines."""
    return _turn(
        queue,
        wanted,
        (State.FAILED, State.REJECTED, State.CANCELLED),
        lambda entry, now: entry.requeued(now),
        "what is finished has its results: delete those first",
    )


def cancel(queue: Queue, wanted: Iterable[str]) -> list[str]:
    """Takes what is pending or running out of the queue; a worker that runs it stops; returns lines."""
    return _turn(
        queue,
        wanted,
        (State.PENDING, State.RUNNING),
        lambda entry, now: entry.over(State.CANCELLED, now),
        "it has ended",
    )


def _turn(
    queue: Queue, wanted: Iterable[str], of: Sequence[State], turned: Callable[[Entry, str], Entry], otherwise: str
) -> list[str]:
    now = stamp(datetime.now(timezone.utc))
    asked = list(wanted)
    lines: dict[str, str] = {}

    def decide(entries: Entries) -> Change:
        keys = dict.fromkeys(key for one in asked for key in find(entries, one))
        changed = {key: turned(entries[key], now) for key in keys if entries[key].state in of}
        for key in keys:
            line = f"{key[:12]} {entries[key].model}: "
            if key in changed:
                lines[key] = line + told(changed[key])
            else:
                lines.setdefault(key, f"{line}{told(entries[key])}; {otherwise}")
        return Change(f"{len(changed)} requests turned", changed)

    queue.change(decide)
    return list(lines.values())
