"""One run of one variant: its time, peak memory, bytes written, and what it found.

Standard library only, because this file also runs in the environment of the package we compare with.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_STATUS, _IO, _CLEAR = Path("/proc/self/status"), Path("/proc/self/io"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Job:
    """A variant, ready to run."""

    work: Callable[[], Any]
    """The measured part."""
    report: Callable[[], dict[str, Any]]
    """What it found; not measured."""


Prepare = Callable[[], Job]


@dataclass(frozen=True)
class Sample:
    """What one run took."""

    seconds: float
    cpu: float
    """Seconds of processor time, over all threads."""
    peak: int
    """Bytes: the highest resident size during the run, model included."""
    growth: int
    """Bytes: that peak above the resident size right before the run."""
    written: int | None
    """Bytes handed to write calls; None where the system does not count them."""
    found: dict[str, Any]


def measure(prepare: Prepare) -> Sample:
    """Runs a variant once; the progress bars of libraries are swallowed, ours are drawn elsewhere."""
    with contextlib.redirect_stderr(io.StringIO()):
        job = prepare()
        gc.collect()
        resident, before = _reset_peak(), _written()
        start, cpu = time.perf_counter(), time.process_time()
        job.work()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        after, peak = _written(), _peak()
        found = job.report()
    written = None if before is None or after is None else after - before
    return Sample(seconds, cpu, peak, max(0, peak - resident), written, found)


def _peak() -> int:
    # getrusage's ru_maxrss is a trap on Linux: a child starts with its parent's, even after exec. VmHWM does not.
    if _STATUS.is_file():
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _reset_peak() -> int:
    """Forgets the peak of loading the model, where Linux lets us; returns the resident size now."""
    if not _STATUS.is_file():
        return _peak()
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _written() -> int | None:
    try:
        line = next(line for line in _IO.read_text().splitlines() if line.startswith("wchar"))
    except OSError:
        return None
    return int(line.split()[1])


def serve(prepare: Prepare, **others: Prepare) -> None:
    """The child's side of ``_measure.Worker``: one sample, as a line of JSON, for each line, which may name another."""
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(measure(others.get(line.strip(), prepare)))), file=answers, flush=True)
