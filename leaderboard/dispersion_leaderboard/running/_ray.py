"""Units as tasks of a Ray cluster: one that runs already, or one on this machine for as long as the worker runs."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running._run import evaluate
from dispersion_leaderboard.running._scrub import lines as scrubbed
from dispersion_leaderboard.running._unit import Outcome, Unit

_STORE = 512 * 2**20
"""Bytes of shared memory of a cluster of our own, for results on their way; what exceeds them goes to the disk."""

_PATIENCE = 20.0
"""Seconds that a task gets to end what it has started, before it is ended by force."""


class RayExecutor:
    """See ``Executor``. The machines of the cluster have this package installed, and Hub tokens of their own or none.

    Args:
        scratch: for models and unfinished work, on this machine; elsewhere it is a folder in the machine's own
            temporary one, where a token or a path of this machine means nothing.
        address: of a cluster that runs, ``HOST:PORT`` or ``auto``; None starts one on this machine.
        slots: tasks at the same time.
        gpus: of one task; parts of one are allowed.
        memory: bytes that Ray sets aside for one task; 0 for none.
        retries: how often Ray runs a task again whose process or machine was lost.

    Raises:
        SystemExit: in one line, where there is no Ray, no such cluster, or nothing in it that is large enough.
    """

    def __init__(
        self, scratch: Path, *, address: str | None, slots: int, gpus: float, memory: int, retries: int = 2
    ) -> None:
        self.slots = slots
        self._ray = _started(address, retries)
        self._scratch = None if address else str(scratch)
        self._under_way: dict[Any, Unit] = {}
        self._stopping: dict[Any, float] = {}
        self._forgetting: list[Any] = []
        self._open = True
        self._task = self._ray.remote(num_gpus=gpus, memory=memory or None, max_retries=retries)(_run)
        self._removal = self._ray.remote(num_cpus=0, max_retries=0)(_remove)
        self._demand_room(gpus, memory, grows=address is not None)

    def start(self, unit: Unit) -> None:
        """See ``Executor``."""
        self._under_way[self._task.remote(json.dumps(unit.to_json()), self._scratch)] = unit

    def ended(self) -> list[tuple[Unit, Outcome]]:
        """See ``Executor``."""
        now = time.monotonic()
        self._stopping = {task: self._stopping[task] for task in self._unfinished(list(self._stopping))}
        for task in [task for task, until in self._stopping.items() if until < now]:
            del self._stopping[task]
            self._ray.cancel(task, force=True)
        tasks = list(self._under_way)
        ready, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0) if tasks else ([], [])
        return [(self._under_way.pop(task), self._outcome(task)) for task in ready]

    def stop(self, unit: Unit) -> None:
        """See ``Executor``."""
        for task in [task for task, other in self._under_way.items() if other == unit]:
            del self._under_way[task]
            # Not by force: Ray then kills the children of the task's process, and theirs live on.
            self._ray.cancel(task)
            self._stopping[task] = time.monotonic() + _PATIENCE

    def forget(self, request: Request) -> None:
        """See ``Executor``."""
        if self._scratch:
            _remove(request.key, self._scratch)
        elif self._open:
            self._forgetting = self._unfinished(self._forgetting)
            place = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            for node in self._ray.nodes():
                if node["Alive"]:
                    there = self._removal.options(scheduling_strategy=place(node["NodeID"], soft=False))
                    self._forgetting.append(there.remote(request.key, None))

    def close(self) -> None:
        """See ``Executor``; a cluster that was there before stays."""
        for unit in list(self._under_way.values()):
            self.stop(unit)
        # Whoever leaves before the machines have heard it leaves tasks behind.
        for task in self._unfinished([*self._stopping, *self._forgetting], _PATIENCE):
            self._ray.cancel(task, force=True)
        self._open = False
        self._ray.shutdown()

    def _unfinished(self, tasks: list[Any], seconds: float = 0.0) -> list[Any]:
        """Those that have not ended after a while."""
        return list(self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds)[1]) if tasks else []

    def _demand_room(self, gpus: float, memory: int, grows: bool) -> None:
        wanted = {"GPU": gpus, "memory": memory, "CPU": 1}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(what, 0) >= amount for what, amount in wanted.items()) for node in nodes):
            return
        line = f"no machine of the Ray cluster has {gpus:g} GPUs and {memory / 1e9:g} GB of memory for one run"
        if not grows:
            self._ray.shutdown()
            raise SystemExit(f"leaderboard: {line}; change --gpus or --memory-limit")
        print(f"leaderboard: {line} now; runs wait until one has joined", file=sys.stderr)

    def _outcome(self, task: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            outcome = self._ray.get(task)
        except errors.OutOfMemoryError:
            return Outcome(reason=Reason.OOM, detail="Ray ended it, since its machine ran out of memory")
        except errors.RayTaskError as error:
            detail = "the task could not be run on its machine; is this package installed there?"
            return Outcome(reason=Reason.INFRASTRUCTURE, detail=detail, log=scrubbed(str(error)))
        except errors.RayError as error:
            return Outcome(reason=Reason.INFRASTRUCTURE, detail=f"lost by Ray ({type(error).__name__})")
        assert isinstance(outcome, Outcome)
        return outcome


def _started(address: str | None, retries: int) -> Any:
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        line = "leaderboard: --executor ray needs Ray: pip install 'dispersion-leaderboard[ray]'"
        raise SystemExit(line) from error
    # What Ray kills since its machine runs out of memory it would else run again without end.
    os.environ.setdefault("RAY_task_oom_retries", str(retries))
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "object_store_memory": _STORE}
    try:
        if address and address != "auto":
            # Ray itself tries for minutes before it says that nobody is there.
            host, _, port = address.rpartition(":")
            if not port.isdigit() or "/" in host:
                raise SystemExit(f"leaderboard: --ray-address {address} is neither HOST:PORT nor auto")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise SystemExit(f"leaderboard: cannot use the Ray cluster {address or 'of this machine'}: {why}") from error
    return ray


def _folder(key: str, scratch: str | None) -> Path:
    """Of a request, on the machine that asks."""
    return Path(scratch or Path(tempfile.gettempdir()) / "dispersion-leaderboard") / key


def _run(unit: str, scratch: str | None) -> Outcome:
    """On a machine of the cluster, in a process of Ray's."""
    found = Unit.from_json(json.loads(unit))
    folder = _folder(found.request.key, scratch)
    folder.mkdir(parents=True, exist_ok=True)
    return evaluate(found, folder, threading.Event())


def _remove(key: str, scratch: str | None) -> None:
    shutil.rmtree(_folder(key, scratch), ignore_errors=True)
