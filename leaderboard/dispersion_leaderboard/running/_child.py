"""A command in a process group of its own, with limits to its time, memory and disk; nothing of it is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from dispersion_leaderboard.running._disk import bytes_in
from dispersion_leaderboard.running._unit import Limits

_TICK = 0.25
_GRACE = 10.0
"""Seconds between asking it to end and ending it."""
_SPARE = 2**30
"""Bytes that stay free on the disk."""
_HEAD, _TAIL = 2**16, 2**18
"""Bytes of its output that are kept, of the beginning and of the end."""


@dataclass(frozen=True)
class Ended:
    """How it ended."""

    code: int
    """Its exit status; 128 and the number of a signal that ended it."""
    by: str
    """``itself``, or which limit: ``timeout``, ``memory``, ``disk``; or ``stopped``."""
    output: str
    """What it printed, standard error included; the middle is left out where it is long."""


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    limits: Limits,
    folder: Path,
    stop: threading.Event,
) -> Ended:
    """Runs a command to its end, or to one of its limits.

    Args:
        command: what to run.
        cwd: where.
        environment: all of it.
        limits: what it may use.
        folder: where it writes: what lies there counts against the disk's limit.
        stop: ends it when it is set.
    """
    guard = Path(__file__).with_name("_guard.py")
    child = subprocess.Popen(
        # Isolated, so that the files beside the guard are not taken for the library's.
        [sys.executable, "-I", str(guard), *command],
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output = _Output(child)
    known: dict[int, psutil.Process] = {}
    try:
        by = _watch(child, limits, folder, stop, known)
    finally:
        _end(child, known)
    return Ended(child.wait(), by, output.text())


def _watch(
    child: subprocess.Popen[bytes],
    limits: Limits,
    folder: Path,
    stop: threading.Event,
    known: dict[int, psutil.Process],
) -> str:
    begun = time.monotonic()
    while child.poll() is None:
        if stop.wait(_TICK):
            return "stopped"
        if time.monotonic() - begun > limits.seconds:
            return "timeout"
        known |= {process.pid: process for process in _tree(child.pid)}
        if limits.memory and sum(map(_memory, known.values())) > limits.memory:
            return "memory"
        if bytes_in(folder) > limits.disk or shutil.disk_usage(folder).free < _SPARE:
            return "disk"
    return "itself"


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _memory(process: psutil.Process) -> int:
    """Bytes; what several processes share counts once, where the system tells."""
    try:
        return int(getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss)
    except psutil.Error:
        return 0


def _end(child: subprocess.Popen[bytes], known: dict[int, psutil.Process]) -> None:
    """Asks the group to end, and ends what is left after a while, also what has left the group."""
    known |= {process.pid: process for process in _tree(child.pid)}
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(known.values(), timeout=_GRACE)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_GRACE)


class _Output:
    """Reads all that a child prints, and keeps its beginning and its end."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout
        self._file = child.stdout
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while some := self._file.read1(2**16):  # type: ignore[attr-defined]
            room = _HEAD - len(self._head)
            self._head += some[:room] if room > 0 else b""
            self._tail += some[room:] if room > 0 else some
            if len(self._tail) > 2 * _TAIL:
                self._dropped += len(self._tail) - _TAIL
                del self._tail[:-_TAIL]

    def text(self) -> str:
        # A process that has got away may hold the pipe: its output is not waited for.
        self._thread.join(_GRACE)
        gap = f"\n[{self._dropped} bytes left out]\n".encode() if self._dropped else b""
        return bytes(self._head + gap + self._tail).decode("utf-8", "replace")
