"""In which state a request is, and which state may follow it. Pure: no store, no clock of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum

from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests._reason import Reason
from dispersion_leaderboard.requests._request import BadRequest, Request

ATTEMPTS = 3
"""Claims of a request, before it has failed for good where each was lost or ended by the infrastructure."""


class State(str, Enum):
    """As a person reads it."""

    PENDING = "pending"
    REJECTED = "rejected"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (State.PENDING, State.RUNNING)


@dataclass(frozen=True)
class Entry:
    """A request's line in the queue. Times are UTC, ISO 8601 to the second, so that they sort as text."""

    model: str
    suite: str
    submitted: str
    state: State
    since: str
    """When this state began."""
    reason: Reason | None = None
    detail: str = ""
    """One line about the reason; anyone may read it."""
    attempts: int = 0
    """Claims so far."""
    worker: str = ""
    """Who runs it, or ran it last."""
    nonce: str = ""
    """Of the claim: no two claims are equal, so that a commit that makes one is never empty."""
    expires: str = ""
    """When the claim of a worker that has not been heard of ends."""

    @classmethod
    def new(cls, request: Request, now: str) -> Entry:
        """Just submitted."""
        return cls(request.model, request.suite, now, State.PENDING, now)

    def claimable(self, now: str) -> bool:
        """Pending, or claimed by a worker that was not heard of for too long."""
        return self.state is State.PENDING or (self.state is State.RUNNING and self.expires < now)

    def claimed(self, worker: str, nonce: str, now: str, expires: str) -> Entry:
        """Running for a worker; failed where too many have been lost with it."""
        if self.attempts >= ATTEMPTS:
            return self.over(State.FAILED, now, Reason.INFRASTRUCTURE, f"{self.attempts} workers were lost with it")
        return replace(
            self,
            state=State.RUNNING,
            since=now,
            reason=None,
            detail="",
            attempts=self.attempts + 1,
            worker=worker,
            nonce=nonce,
            expires=expires,
        )

    def over(self, state: State, now: str, reason: Reason | None = None, detail: str = "") -> Entry:
        """Ended, or back in the queue where the infrastructure was at fault and attempts are left."""
        if state is State.FAILED and reason is not None and reason.retried and self.attempts < ATTEMPTS:
            state = State.PENDING
        return replace(self, state=state, since=now, reason=reason, detail=detail, nonce="", expires="")

    def released(self, now: str) -> Entry:
        """Given back by a worker that was asked to stop: that attempt does not count."""
        return replace(self.over(State.PENDING, now), attempts=max(0, self.attempts - 1), worker="")

    def requeued(self, now: str) -> Entry:
        """From the beginning."""
        return replace(self.over(State.PENDING, now), attempts=0, worker="")


@dataclass
class Shard:
    """A file of the queue's states."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """By key of the request."""
    kept: dict[str, object] = field(default_factory=dict)
    """What is not understood, such as a later version's: written again as it was."""
    read: dict[str, object] = field(default_factory=dict, repr=False)
    """As it stood in the file."""

    @classmethod
    def load(cls, content: bytes, before: Shard | None = None) -> Shard:
        """Reads what ``dump`` wrote.

        Args:
            content: of the file.
            before: an earlier version of it: entries that are still the same are not made again.

        Raises:
            BadRequest: where it is no shard at all. Nothing may be written over what cannot be read.
        """
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadRequest("a file of states is not JSON") from error
        if not isinstance(found, dict):
            raise BadRequest("a file of states is no mapping")
        entries = {}
        for key, value in found.items():
            same = before is not None and key in before.entries and before.read.get(key) == value
            entry = before.entries[key] if before is not None and same else _entry(value)
            if entry is not None:
                entries[key] = entry
        return cls(entries, {key: value for key, value in found.items() if key not in entries}, found)

    def dump(self) -> bytes:
        """As JSON, one line an entry, sorted: a small change is a small difference."""
        plain: dict[str, object] = self.kept | {key: _plain(entry) for key, entry in self.entries.items()}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(plain.items())]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def stamp(moment: datetime) -> str:
    """A time as entries hold it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def later(now: str, seconds: float) -> str:
    """So much after a time."""
    return stamp(datetime.strptime(now, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc) + timedelta(seconds=seconds))


def _plain(entry: Entry) -> dict[str, object]:
    return {key: value for key, value in asdict(entry).items() if value not in (None, "", 0)}


def _entry(value: object) -> Entry | None:
    if not isinstance(value, dict):
        return None
    known = {key: value[key] for key in Entry.__dataclass_fields__ if key in value}
    try:
        known["state"] = State(known["state"])
        known["reason"] = Reason(known["reason"]) if known.get("reason") else None
        attempts = known.setdefault("attempts", 0)
        texts = {key: clean(known[key]) for key in known.keys() - {"state", "reason", "attempts"}}
        return Entry(**{**known, **texts}) if type(attempts) is int and 0 <= attempts < 1000 else None
    except (KeyError, TypeError, ValueError):
        return None
