"""Units on this machine, each in a thread that waits for its child process."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from dispersion_leaderboard.requests import Request
from dispersion_leaderboard.running import _download, _run
from dispersion_leaderboard.running._unit import Outcome, Unit

_PATIENCE = 30.0
"""Seconds for a child process to end."""


class LocalExecutor:
    """See ``Executor``.

    Args:
        scratch: for models and unfinished work; no other worker's.
        slots: units at the same time.
    """

    def __init__(self, scratch: Path, slots: int = 1) -> None:
        self.slots = slots
        self._scratch = scratch
        self._under_way: dict[Unit, tuple[threading.Thread, threading.Event]] = {}
        self._stopped: dict[Unit, threading.Thread] = {}
        self._done: queue.SimpleQueue[tuple[Unit, threading.Event, Outcome]] = queue.SimpleQueue()

    def start(self, unit: Unit) -> None:
        """See ``Executor``."""
        stop = threading.Event()
        # One that was stopped, and is asked for again, writes to the same place until it has ended.
        before = self._stopped.pop(unit, None)
        thread = threading.Thread(target=self._evaluate, args=(unit, stop, before), daemon=True)
        self._under_way[unit] = (thread, stop)
        thread.start()

    def ended(self) -> list[tuple[Unit, Outcome]]:
        """See ``Executor``."""
        found = []
        while not self._done.empty():
            unit, stop, outcome = self._done.get()
            if not stop.is_set():
                del self._under_way[unit]
                found.append((unit, outcome))
        return found

    def stop(self, unit: Unit) -> None:
        """See ``Executor``."""
        # Not waited for: it may take a while to end, and what comes of it is nobody's any more.
        if found := self._under_way.pop(unit, None):
            found[1].set()
            self._stopped = {one: thread for one, thread in self._stopped.items() if thread.is_alive()}
            self._stopped[unit] = found[0]

    def forget(self, request: Request) -> None:
        """See ``Executor``."""
        _run.forget(self._scratch, request.key)
        if all(unit.request.model != request.model for unit in self._under_way):
            _download.forget(self._scratch, request)

    def close(self) -> None:
        """See ``Executor``."""
        for unit in list(self._under_way):
            self.stop(unit)
        for thread in self._stopped.values():
            thread.join(_PATIENCE)

    def _evaluate(self, unit: Unit, stop: threading.Event, before: threading.Thread | None) -> None:
        if before:
            before.join()
        self._done.put((unit, stop, _run.evaluate(unit, self._scratch, stop)))
