"""A worker: claims requests, has them run, stores what came out, and says so; few commits, each of them whole."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from tqdm import tqdm

from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.requests import Change, Entries, Entry, Queue, Reason, Request, State, Suite, later, stamp
from dispersion_leaderboard.running._claims import Claim, lost, pick
from dispersion_leaderboard.running._unit import Engine, Executor, Limits, Outcome, Unit
from dispersion_leaderboard.store import Results

_TICK = 0.2
_LEAST = 2.0
"""Seconds between two looks at the queue, at the least."""
_IDLE = 30.0
"""Seconds between two looks at an empty queue on the Hub."""
_MOST = 64
"""Claims that are held at once."""


@dataclass(frozen=True)
class Policy:
    """How a worker works."""

    name: str
    """No other worker has the same."""
    engine: Engine = field(default_factory=Engine)
    limits: Limits = field(default_factory=Limits)
    lease: float = 3 * 3600
    """Seconds after which what it has claimed is anyone's, where it was not heard of."""


class Worker:
    """One process that claims; where models run is its executor's affair."""

    def __init__(
        self,
        queue: Queue,
        results: Results,
        executor: Executor,
        suites: Mapping[str, Suite],
        policy: Policy,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._queue, self._results, self._executor, self._policy = queue, results, executor, policy
        self._suites = {suite.id: suite for suite in suites.values()}
        self._now = now
        self._claims: dict[str, Claim] = {}
        self._under_way: list[Unit] = []
        self._entries: Entries = {}
        self._stopping = threading.Event()
        self._next = 0.0
        self._ended_since = 0
        self._looks = 0
        # What the nonces of this run begin with: an earlier run's claims, by the same name, were lost with it.
        self._run = f"{secrets.token_hex(8)}."

    def stop(self) -> None:
        """Asks it to give back what it has not finished and to return from ``run``; may be called by a signal."""
        self._stopping.set()

    def run(self, *, forever: bool) -> None:
        """Works until the queue has nothing for it, or without end.

        Raises:
            Refused: where the stores refuse what waiting does not change.
        """
        try:
            while not self._stopping.is_set():
                if self._due() and self._look() and not forever and not self._claims and not self._pick(1):
                    return
                self._start()
                self._hear()
                self._stopping.wait(_TICK)
        finally:
            try:
                self._hear()
            finally:
                self._executor.close()
                if self._claims:
                    self._look(last=True)

    def _due(self) -> bool:
        """Whether to look at the queue: never too soon, and where nothing has happened only now and then."""
        if time.monotonic() < self._next:
            return False
        waiting = any(not claim.ended for claim in self._claims.values())
        return (
            not waiting or self._ended_since > 0 or time.monotonic() >= self._next + min(_IDLE, self._policy.lease / 4)
        )

    def _look(self, last: bool = False) -> bool:
        """Reads the queue, stores results, and commits all that has changed with new claims; False to be done again."""
        try:
            self._entries = self._queue.entries()
            self._drop_lost()
            self._store()
            self._looks += 1
            self._entries = self._queue.change(lambda entries: self._decide(entries, last))
            self._drop_lost()
            if not last:
                self._take_claimed()
        except Refused as refused:
            if refused.after is None and not last:
                raise
            self._say(str(refused))
            self._next = time.monotonic() + (refused.after or 0.0)
            return False
        self._next = time.monotonic() + self._pace()
        return True

    def _pace(self) -> float:
        """Seconds until the next commit, so that all workers together keep to what the store takes."""
        limit = min(self._queue.tree.commits_per_hour, self._results.tree.commits_per_hour)
        running = {entry.worker for entry in self._entries.values() if entry.state is State.RUNNING}
        workers = len(running | {self._policy.name})
        idle = 0.0 if self._claims or self._pick(1) or limit == float("inf") else _IDLE
        return max(_LEAST, workers * 3600 / limit, idle)

    def _drop_lost(self) -> None:
        """Claims that have been closed, cancelled, or are somebody else's by now."""
        for claim in [claim for claim in self._claims.values() if lost(claim, self._entries)]:
            entry = self._entries.get(claim.key)
            state = entry.state.value if entry else "gone"
            why = f" ({entry.reason.value}: {entry.detail})" if entry and entry.reason else ""
            self._say(f"{claim.request.model}: {state}{why}")
            self._stop_units(claim)
            del self._claims[claim.key]
            if entry is None or entry.state.ended:
                self._executor.forget(claim.request)

    def _store(self) -> None:
        """All that has come out and is not known to be in the store."""
        new = {
            (claim.key, group): files
            for claim in self._claims.values()
            for group, files in claim.files.items()
            if files and group not in claim.saved
        }
        self._results.save(new)
        elsewhere = {(claim.key, group) for claim in self._claims.values() for group, f in claim.files.items() if not f}
        there = set(new) | self._results.saved(elsewhere)
        for claim in self._claims.values():
            claim.saved |= {group for key, group in there if key == claim.key}
            missing = claim.files.keys() - claim.saved
            claim.files.clear()
            if missing and claim.failed is None:
                claim.failed = Outcome(
                    reason=Reason.INFRASTRUCTURE, detail=f"{sorted(missing)[0]} ended without results", log=claim.log
                )

    def _decide(self, entries: Entries, last: bool) -> Change:
        now = stamp(self._now())
        expires = later(now, self._policy.lease)
        changed: dict[str, Entry] = {}
        logs: dict[str, str] = {}
        for claim in self._claims.values():
            if lost(claim, entries):
                continue
            entry = entries[claim.key]
            if claim.failed or claim.finished:
                changed[claim.key] = claim.close(entry, now)
                logs[claim.key] = claim.log
            elif last:
                changed[claim.key] = entry.released(now)
            elif entry.expires < later(now, self._policy.lease / 2):
                changed[claim.key] = replace(entry, expires=expires)
        ended = len(logs)
        if not last:
            # Twice what has ended since the last look: few at first, and enough to do until the next one.
            still = sum(not claim.ended for claim in self._claims.values())
            many = min(_MOST, max(self._executor.slots, 2 * self._ended_since)) - still
            for key in self._pick(many, entries):
                changed[key] = entries[key].claimed(self._policy.name, f"{self._run}{self._looks}", now, expires)
        claimed = sum(entry.state is State.RUNNING and key not in self._claims for key, entry in changed.items())
        return Change(f"{self._policy.name}: {ended} ended, {claimed} claimed", changed, logs=logs)

    def _pick(self, many: int, entries: Entries | None = None) -> list[str]:
        found = self._entries if entries is None else entries
        return pick(found, self._suites.keys(), stamp(self._now()), many, self._policy.name, self._run)

    def _take_claimed(self) -> None:
        """What is ours since the last commit, or an earlier one whose answer got lost."""
        self._ended_since = 0
        ours = {
            key: entry
            for key, entry in self._entries.items()
            if entry.state is State.RUNNING and entry.nonce.startswith(self._run) and key not in self._claims
        }
        requests = self._queue.requests(ours) if ours else {}
        for key, entry in ours.items():
            request = requests[key]
            if isinstance(request, Request):
                self._say(f"claimed {request.model}")
                self._claims[key] = Claim(key, entry.nonce, request, self._suites[entry.suite])
            else:
                self._reject(key, entry, str(request))
        new = [claim for claim in self._claims.values() if not claim.checked]
        known = self._results.saved({(claim.key, unit.group) for claim in new for unit in self._units(claim)})
        for claim in new:
            claim.saved |= {group for key, group in known if key == claim.key}
            claim.checked = True
            self._ended_since += claim.ended

    def _reject(self, key: str, entry: Entry, why: str) -> None:
        self._say(f"{entry.model}: {why}")
        rejected = entry.over(State.REJECTED, stamp(self._now()), Reason.NOT_FOUND, why)
        self._entries = self._queue.change(
            lambda entries: Change("Not a request", {key: rejected} if entries[key] == entry else {})
        )

    def _units(self, claim: Claim) -> list[Unit]:
        return claim.units(self._policy.engine, self._policy.limits)

    def _start(self) -> None:
        for claim in self._claims.values():
            for unit in self._units(claim):
                if len(self._under_way) >= self._executor.slots:
                    return
                if unit not in self._under_way:
                    self._under_way.append(unit)
                    self._executor.start(unit)

    def _hear(self) -> None:
        for unit, outcome in self._executor.ended():
            if unit not in self._under_way:
                continue  # stopped, a moment after it had ended
            self._under_way.remove(unit)
            claim = self._claims.get(unit.request.key)
            if claim is None:
                continue
            claim.note(unit, outcome)
            self._say(f"{unit.request.model}, {unit.group}: {outcome.reason.value if outcome.reason else 'done'}")
            if claim.failed:
                self._stop_units(claim)
            self._ended_since += claim.ended

    def _stop_units(self, claim: Claim) -> None:
        for unit in [unit for unit in self._under_way if unit.request.key == claim.key]:
            self._executor.stop(unit)
            self._under_way.remove(unit)

    def _say(self, line: str) -> None:
        tqdm.write(f"{stamp(self._now())} {self._policy.name}: {line}", file=sys.stderr)
