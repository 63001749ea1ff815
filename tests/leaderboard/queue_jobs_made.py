"""Units that run as jobs on the stand-in of the Hub, and what a test does to such jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha1
from typing import Any, TypeVar

from dispersion_leaderboard.jobs import JobsExecutor
from dispersion_leaderboard.jobs._end import told
from dispersion_leaderboard.requests import Request
from dispersion_leaderboard.running import Outcome, Unit
from hub import Hub, Job

STORE = "hf://datasets/org/results"
T = TypeVar("T")


def unit(number: int = 0, *tasks: str, **request: Any) -> Unit:
    made = Request(f"org/model-{number}", sha1(str(number).encode()).hexdigest(), "made@01234567", **request)
    return Unit(made, tasks or ("task_a", "task_b"))


def executor(store: str = STORE, **options: Any) -> JobsExecutor:
    """One that looks at its jobs whenever it is asked."""
    usual = {"flavor": "a10g-small", "image": "python:3.12", "namespace": "org", "slots": 4, "timeout": 7200.0}
    return JobsExecutor(store, **usual | {"token": None, "install": "", "poll": 0.0} | options)


def begun(jobs: JobsExecutor, *units: Unit) -> None:
    for one in units:
        jobs.start(one)
    assert jobs.ended() == []


def job_of(hub: Hub, number: int = 0) -> Job:
    return list(hub.jobs.values())[number]


def finish(job: Job, outcome: Outcome) -> None:
    """It has come to its end by itself, and said how."""
    job.start()
    for line in told(outcome).splitlines():
        job.say(line)
    job.end("ERROR" if outcome.reason else "COMPLETED", "Job failed with exit code: 3" if outcome.reason else None)


def stages(hub: Hub) -> list[str]:
    return [job.stage for job in hub.jobs.values()]


def asked(hub: Hub, what: str) -> int:
    return sum(word == what for _, _, word in hub.asked)


def until(found: Callable[[], T], seconds: float = 120) -> T:
    """Waits for it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.05)
    raise TimeoutError
