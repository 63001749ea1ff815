"""What a worker holds: claimed requests, and how far each of them is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dispersion_leaderboard.requests import Entries, Entry, Request, State, Suite, shard_of
from dispersion_leaderboard.running._unit import Engine, Limits, Outcome, Unit


@dataclass
class Claim:
    """A request that is ours until its lease ends."""

    key: str
    nonce: str
    request: Request
    suite: Suite
    saved: set[str] = field(default_factory=set)
    """Groups whose results are in the store."""
    files: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    """By group: results that are not in the store yet, or not known to be."""
    failed: Outcome | None = None
    """The first group's that failed; the others are not begun any more."""
    log: str = ""
    """Last lines of the newest run."""
    checked: bool = False
    """Whether the store was asked what an earlier attempt has left there."""

    def units(self, engine: Engine, limits: Limits) -> list[Unit]:
        """What is still to be run."""
        if self.failed:
            return []
        units = [
            Unit(self.request, group, self.suite.limit, self.suite.include_path, engine, limits)
            for group in self.suite.groups
        ]
        return [unit for unit in units if unit.group not in self.saved and unit.group not in self.files]

    def note(self, unit: Unit, outcome: Outcome) -> None:
        """A unit of it has ended."""
        self.log = outcome.log
        if outcome.reason is None:
            self.files[unit.group] = outcome.files
        elif self.failed is None:
            self.failed = outcome

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to run."""
        return self.failed is not None or len(self.saved.union(self.files)) == len(self.suite.groups)

    @property
    def finished(self) -> bool:
        """Whether all of its results are in the store."""
        return self.failed is None and len(self.saved) == len(self.suite.groups)

    def close(self, entry: Entry, now: str) -> Entry:
        """Its entry, now that it has ended."""
        if self.failed is None:
            return entry.over(State.FINISHED, now)
        return entry.over(State.FAILED, now, self.failed.reason, self.failed.detail)


def pick(entries: Entries, suites: Collection[str], now: str, many: int, worker: str, run: str) -> list[str]:
    """Keys of the requests to claim: the oldest, and with it others of the same file of states, oldest first.

    Keeping to one file keeps the commit small, and is fair: keys are hashes, so every file holds its share of the old.

    Args:
        entries: the queue.
        suites: ids of those that this worker knows.
        now: the time.
        many: how many at most.
        worker: this one's name: what it had claimed before it was started again is its own to claim.
        run: what the nonces of this run of it begin with: what it has claimed since.
    """

    def is_free(entry: Entry) -> bool:
        if entry.nonce.startswith(run):
            return False
        return entry.claimable(now) or (entry.state is State.RUNNING and entry.worker == worker)

    free = sorted((e.submitted, key) for key, e in entries.items() if e.suite in suites and is_free(e))
    if not free or many < 1:
        return []
    shard = shard_of(free[0][1])
    return [key for _, key in free if shard_of(key) == shard][:many]


def lost(claim: Claim, entries: Entries) -> bool:
    """Whether it is somebody else's by now, or nobody's: cancelled, or its lease has ended."""
    entry = entries.get(claim.key)
    return entry is None or entry.state is not State.RUNNING or entry.nonce != claim.nonce
