"""``python -m queue_load_worker NAME COMMITS_PER_HOUR LEASE``: a worker in a process of its own.

Its models take some milliseconds; a part of them fails for good, and another part once. The Hub and the token are the
environment's.
"""

from __future__ import annotations

import random
import signal
import sys
import time

from dispersion_leaderboard.requests import Queue, Reason, Request
from dispersion_leaderboard.running import Outcome, Policy, Unit, Worker
from dispersion_leaderboard.store import Results, open_tree
from queue_made import SUITE, results_of

PLACE = "hf://datasets/org/{}"


class Quick:
    """An executor with eight slots: a run takes 5 to 50 ms."""

    slots = 8

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._until: dict[Unit, float] = {}

    def start(self, unit: Unit) -> None:
        self._until[unit] = time.monotonic() + self._random.uniform(0.005, 0.05)

    def ended(self) -> list[tuple[Unit, Outcome]]:
        now = time.monotonic()
        over = [unit for unit, until in self._until.items() if until <= now]
        for unit in over:
            del self._until[unit]
        return [(unit, self._outcome(unit)) for unit in over]

    def _outcome(self, unit: Unit) -> Outcome:
        number = int(unit.request.key[-4:], 16)
        if number % 50 == 0:
            return Outcome(reason=Reason.OOM, detail="made", log="made")
        if number % 50 == 1 and self._random.random() < 0.5:
            return Outcome(reason=Reason.INFRASTRUCTURE, detail="made", log="made")
        return Outcome(results_of(unit), log="made")

    def stop(self, unit: Unit) -> None:
        self._until.pop(unit, None)

    def forget(self, request: Request) -> None:
        """Keeps nothing."""

    def close(self) -> None:
        self._until.clear()


def main() -> None:
    name, commits_per_hour, lease = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    queue, results = (
        kind(open_tree(PLACE.format(place), commits_per_hour=commits_per_hour))
        for kind, place in ((Queue, "queue"), (Results, "results"))
    )
    assert isinstance(queue, Queue) and isinstance(results, Results)
    worker = Worker(queue, results, Quick(name), {SUITE.name: SUITE}, Policy(name, lease=lease))
    signal.signal(signal.SIGTERM, lambda number, frame: worker.stop())
    worker.run(forever=True)


if __name__ == "__main__":
    main()
