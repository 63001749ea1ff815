"""Many workers, some of them killed, on a Hub that fails now and then, watched commit by commit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dispersion_leaderboard.requests import Entry, Queue, Shard, State
from dispersion_leaderboard.store import open_tree
from hub import WRITER, Hub
from hub._blob import Blob
from hub._content import Commit, Repository
from queue_made import fill
from tqdm import tqdm

HERE = Path(__file__).parent


@dataclass
class Watch:
    """What is seen of every commit while it lands."""

    entries: dict[str, Entry] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    """How often each request has come to an end."""
    files: Counter[str] = field(default_factory=Counter)
    """How many results files there are by request and group."""
    commits: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def over(self, repository: Repository, name: str) -> None:
        """Watches a repository from now on."""
        inner = repository.commit

        def commit(title: str, changes: Mapping[str, Blob | None], oid: str = "", when: str = "") -> Commit:
            self.commits[name] += 1
            (self._queue if name == "queue" else self._results)(repository, changes)
            return inner(title, changes, oid, when)

        repository.commit = commit  # type: ignore[method-assign]

    def _queue(self, repository: Repository, changes: Mapping[str, Blob | None]) -> None:
        for path, blob in changes.items():
            if blob is None:
                self.wrong.append(f"{path} was deleted")
            elif path.startswith("states/"):
                for key, entry in Shard.load(blob.content).entries.items():
                    before = self.entries.get(key)
                    if before is None or before == entry:
                        self.entries[key] = entry
                        continue
                    if before.state.ended:
                        self.wrong.append(f"{key} was {before.state.value} and became {entry.state.value}")
                    taken = entry.state is State.RUNNING and entry.nonce != before.nonce
                    held = before.state is State.RUNNING and before.expires >= entry.since
                    if taken and held and before.worker != entry.worker:
                        self.wrong.append(f"{key} was {before.worker}'s and was taken by {entry.worker}")
                    if entry.state.ended:
                        self.ended[key] += 1
                    self.entries[key] = entry

    def _results(self, repository: Repository, changes: Mapping[str, Blob | None]) -> None:
        for path, blob in changes.items():
            if path.startswith("."):
                continue
            if blob is None or path in repository.head.files:
                self.wrong.append(f"{path} was written over")
            self.files["/".join(path.split("/")[1:3])] += 1


@dataclass(frozen=True)
class Load:
    """What is asked of the workers."""

    requests: int
    workers: int
    kills: int
    rate: float = 0.02
    """Of each kind of fault, of the requests to each endpoint that writes."""
    commits_per_hour: float = 5_400
    lease: float = 300
    """Seconds of a claim."""
    seconds: float = 5400
    """After which it is given up."""
    seed: int = 0


def run(load: Load, folder: Path) -> tuple[Watch, dict[str, object]]:
    """Puts requests into a queue, lets the workers work until all have ended, and kills some of them meanwhile.

    Both stores are left in the folder, as ``queue`` and ``results``.

    Returns:
        What was seen, and figures.
    """
    chance = random.Random(load.seed)
    watch = Watch()
    with Hub() as hub:
        hub.history = 400
        environment = os.environ | hub.environment(folder / "hf") | {"HF_TOKEN": WRITER}
        environment |= {"PYTHONPATH": os.pathsep.join(map(str, (HERE, HERE.parent, HERE.parent.parent)))}
        filled = subprocess.run(
            [sys.executable, "-c", f"import queue_load; queue_load.fill_hub({load.requests})"], env=environment
        )
        assert filled.returncode == 0
        for name in ("queue", "results"):
            watch.over(hub.repositories[f"org/{name}"], name)
        watch._queue(hub.repositories["org/queue"], hub.repositories["org/queue"].head.files)
        _spoil(hub, load.rate)
        began = time.monotonic()
        names = [f"worker-{number}" for number in range(load.workers)]
        workers = {name: _start(name, load, environment) for name in names}
        killed = 0
        with tqdm(total=load.requests, desc="Ended", unit="request", disable=None) as bar:
            while len(watch.ended) < load.requests and not watch.wrong:
                assert time.monotonic() - began < load.seconds, "it takes too long"
                bar.n = len(watch.ended)
                bar.refresh()
                # Evenly over the work; half of those killed come back under their own names, half as others.
                if killed < load.kills and len(watch.ended) > load.requests * 0.9 * killed / load.kills + 1:
                    name = chance.choice(sorted(workers))
                    workers[name].send_signal(signal.SIGKILL)
                    workers.pop(name).wait()
                    killed += 1
                    again = name if killed % 2 else f"{name}-{killed}"
                    workers[again] = _start(again, load, environment)
                time.sleep(0.05)
        seconds = time.monotonic() - began
        for worker in workers.values():
            worker.terminate()
        codes = Counter(worker.wait(60) for worker in workers.values())
        logs = "".join((folder / f"{name}.log").read_text() for name in workers)
        figures: dict[str, object] = {
            "requests": load.requests,
            "workers": load.workers,
            "killed": killed,
            "seconds": round(seconds),
            "commits": dict(watch.commits),
            "injected": dict(hub.injected),
            "answered": len(hub.asked),
            "states": dict(Counter(entry.state.value for entry in watch.entries.values())),
            "attempts": dict(Counter(entry.attempts for entry in watch.entries.values())),
            "exit codes": dict(codes),
            "tracebacks": logs.count("Traceback"),
        }
        for name in ("queue", "results"):
            _write(hub.repositories[f"org/{name}"], folder / name)
    return watch, figures


def fill_hub(count: int) -> None:
    """In a process that the environment sends to the stand-in."""
    open_tree("hf://datasets/org/results")
    queue = Queue(open_tree("hf://datasets/org/queue"))
    for first in range(0, count, 1000):
        fill(queue, min(1000, count - first), first)


def _start(name: str, load: Load, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    home = Path(environment["HF_HOME"])
    with (home.parent / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "queue_load_worker", name, str(load.commits_per_hour), str(load.lease)],
            env=environment,
            stdout=log,
            stderr=log,
        )


def _write(repository: Repository, folder: Path) -> None:
    for path, content in repository.files.items():
        if not path.startswith("."):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def _spoil(hub: Hub, rate: float) -> None:
    for status in (409, 412, 500, 0):
        hub.fail_often("commit", rate, status)
    hub.fail_often("commit", rate, 429, headers={"Retry-After": "1"})
    for status in (500, 0):
        hub.fail_often("commit", rate, status, landed=True)
    for endpoint in ("info", "tree", "paths-info", "preupload", "resolve"):
        hub.fail_often(endpoint, rate / 4, 500)
        hub.fail_often(endpoint, rate / 4)
