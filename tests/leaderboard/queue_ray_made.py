"""A real Ray cluster on this machine, and the processes that its tasks start."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from dispersion_leaderboard.admission import inspect_folder
from dispersion_leaderboard.requests import Request
from dispersion_leaderboard.running import Unit


@contextmanager
def apart() -> Iterator[Path]:
    """Clusters that are started meanwhile have their temporary files here: a socket's name has to be short."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        patch.setenv("TMPDIR", folder)
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setattr(tempfile, "tempdir", None)
        yield Path(folder)


@contextmanager
def cluster(**head: Any) -> Iterator[Any]:
    """Two processors and no dashboard."""
    from ray.cluster_utils import Cluster

    with apart() as folder:
        usual = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=usual | head)
        made.folder = folder
        try:
            yield made
        finally:
            made.shutdown()


def unit(model: Path, *tasks: str, limit: int = 2) -> Unit:
    """A unit of the demo's tasks, which need no Hub, on a model in a folder."""
    found = inspect_folder(model, largest=10**9)
    request = Request(model.name, found.sha, "demo@01234567", folder=str(model))
    return Unit(request, tasks or ("dispersion_demo_mmlu",), limit)


def lm_evals(folder: Path) -> list[psutil.Process]:
    """Those that write below a folder, with what guards them, whoever started them and is still there."""
    return [process for process in psutil.process_iter() if _is_lm_eval(process, str(folder))]


def busy(folder: Path) -> list[psutil.Process]:
    """Those of them that have been at it for a while: lm_eval itself, not what guards it."""
    found = lm_evals(folder)
    guards = {one.pid for one in found}
    return [one for one in found if one.ppid() in guards and time.time() - one.create_time() > 2]


def task_of(process: psutil.Process) -> psutil.Process:
    """The process of Ray in which the task runs that has started it."""
    return next(parent for parent in process.parents() if parent.cmdline()[0].startswith("ray::"))


def _is_lm_eval(process: psutil.Process, folder: str) -> bool:
    try:
        words = process.cmdline()
        alive = process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return alive and any(Path(word).name == "lm_eval" for word in words) and any(folder in word for word in words)
