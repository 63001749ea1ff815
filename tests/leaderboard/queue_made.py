"""Queues of models that do not exist, and an executor for which every run takes no time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path

import pytest
from dispersion_leaderboard.requests import Change, Entry, Queue, Reason, Request, Suite, later
from dispersion_leaderboard.running import Outcome, Policy, Unit, Worker
from dispersion_leaderboard.store import Results, Tree
from hub_fixtures import loopback

SUITE = Suite("made", (("task_a",), ("task_b",)))
NOW = "2026-01-01T00:00:00Z"
Stores = Callable[[str], Tree]


@contextmanager
def opened(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    """Opens stores by name: folders, or dataset repositories of a stand-in of the Hub."""
    from dispersion_leaderboard.store import PREFIX, open_tree

    if kind == "folder":
        yield lambda name: open_tree(str(folder / name))
        return
    with loopback(monkeypatch):
        yield lambda name: open_tree(f"{PREFIX}org/{name}", commits_per_hour=1e9)


def request(number: int, suite: Suite = SUITE) -> Request:
    return Request(f"org/model-{number}", sha1(str(number).encode()).hexdigest(), suite.id)


def fill(queue: Queue, count: int, first: int = 0) -> list[str]:
    """Puts requests into a queue, one older than the next; returns their keys."""
    made = [request(number) for number in range(first, first + count)]
    entries = {r.key: Entry.new(r, later(NOW, number)) for number, r in enumerate(made)}
    queue.change(lambda _: Change("made", entries, {r.key: r for r in made}))
    return [r.key for r in made]


def results_of(unit: Unit) -> dict[str, bytes]:
    """What lm_eval would have written, in short: one task with one number, which the key decides."""
    task, accuracy = unit.group, int(unit.request.key[:4], 16) / 2**16
    run = {
        "results": {task: {"alias": task, "acc,none": accuracy, "acc_stderr,none": 0.01}},
        "configs": {task: {"task": task, "metadata": {"version": 1.0}}},
        "versions": {task: 1.0},
        "n-shot": {task: 0},
        "n-samples": {task: {"original": 1000, "effective": 1000}},
        "higher_is_better": {task: {"acc": True}},
        "config": {"model": "hf", "model_args": {"pretrained": unit.request.model}, "model_sha": unit.request.revision},
        "model_name": unit.request.model,
        "date": 1.7e9,
        "lm_eval_version": "0.4.13",
    }
    folder = unit.request.model.replace("/", "__")
    return {f"{folder}/results_2026-01-01T00-00-00.000000.json": json.dumps(run).encode()}


class Instant:
    """An executor; ``fails`` says which units end otherwise."""

    def __init__(self, slots: int = 1, fails: Callable[[Unit], Outcome | None] = lambda unit: None) -> None:
        self.slots = slots
        self.started: list[Unit] = []
        self.forgotten: list[str] = []
        self._fails = fails
        self._ended: list[tuple[Unit, Outcome]] = []

    def start(self, unit: Unit) -> None:
        self.started.append(unit)
        outcome = self._fails(unit) or Outcome(results_of(unit), log=f"log of {unit.request.model}")
        self._ended.append((unit, outcome))

    def ended(self) -> list[tuple[Unit, Outcome]]:
        found, self._ended = self._ended, []
        return found

    def stop(self, unit: Unit) -> None:
        self._ended = [(one, outcome) for one, outcome in self._ended if one != unit]

    def forget(self, request: Request) -> None:
        self.forgotten.append(request.key)

    def close(self) -> None:
        self._ended.clear()


class Hanging(Instant):
    """An executor whose runs never end."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: list[Unit] = []

    def start(self, unit: Unit) -> None:
        self.started.append(unit)

    def stop(self, unit: Unit) -> None:
        self.stopped.append(unit)


def failing(reason: Reason) -> Callable[[Unit], Outcome]:
    return lambda unit: Outcome(reason=reason, detail=f"{unit.group} broke", log="the last line")


def worker(stores: Stores, executor: Instant, name: str = "one", **policy: float) -> Worker:
    return Worker(
        Queue(stores("queue")), Results(stores("results")), executor, {SUITE.name: SUITE}, Policy(name, **policy)
    )
