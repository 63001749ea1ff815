"""Jobs: commands that the Hub runs in a container of its own, as far as a client sees of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from hub._content import stamp

DEFAULT_TIMEOUT = 30 * 60
"""Seconds that a job gets whose request does not say."""
OVER = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
"""The stages that a job does not leave."""


@dataclass
class Job:
    """What was asked for, and how far it has come; a test moves it on with ``start``, ``say`` and ``end``."""

    id: str
    """24 hexadecimal digits."""
    namespace: str
    """Whose it is."""
    command: list[str]
    """With its arguments."""
    image: str = ""
    """Of Docker; else ``space``."""
    space: str = ""
    """Whose image it is."""
    environment: dict[str, str] = field(default_factory=dict)
    """Which anyone who may see the job sees."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Which no answer shows."""
    flavor: str = "cpu-basic"
    """The machine."""
    timeout: int = DEFAULT_TIMEOUT
    """In seconds, from its start."""
    labels: dict[str, str] = field(default_factory=dict)
    """By which it is found."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """The request, as sent."""
    stage: str = "SCHEDULING"
    """One of the client's ``JobStage``."""
    message: str | None = None
    """About the stage."""
    logs: list[tuple[str, str]] = field(default_factory=list)
    """Times and lines."""
    created: str = field(default_factory=stamp)
    started: str | None = None
    finished: str | None = None
    _since: float = 0.0
    _moved: Condition = field(default_factory=Condition, repr=False, compare=False)

    @property
    def over(self) -> bool:
        """Whether it has ended; ends it where its time has run out."""
        if self.stage == "RUNNING" and time.monotonic() - self._since > self.timeout:
            self.end("ERROR", "Job timeout")
        return self.stage in OVER

    def start(self) -> None:
        """It has got its machine."""
        with self._moved:
            if self.stage != "SCHEDULING":
                return
            self.stage, self.started, self._since = "RUNNING", stamp(), time.monotonic()
            self.logs.append((self.started, f"===== Job started at {self.started} ====="))
            self._moved.notify_all()

    def say(self, line: str) -> None:
        """It has written a line."""
        with self._moved:
            self.logs.append((stamp(), line))
            self._moved.notify_all()

    def end(self, stage: str, message: str | None = None) -> None:
        """It has ended so, unless it has ended before."""
        with self._moved:
            if self.stage not in OVER:
                self.stage, self.message, self.finished = stage, message, stamp()
            self._moved.notify_all()

    def follow(self, tail: int | None) -> Iterator[dict[str, str]]:
        """The lines so far, or the last of them, and all that come until it has ended."""
        told = 0 if tail is None else max(0, len(self.logs) - tail)
        while True:
            with self._moved:
                lines, ended = self.logs[told:], self.over
                if not lines and not ended:
                    self._moved.wait(0.2)
            for when, line in lines:
                yield {"timestamp": when, "data": line}
            told += len(lines)
            if ended and not lines:
                return

    def told(self) -> dict[str, Any]:
        """As answers show it."""
        ended = self.over  # first, for it may move the stage
        image = {"dockerImage": self.image} if self.image else {"spaceId": self.space}
        owner = {"id": f"{sum(self.namespace.encode()):024x}", "name": self.namespace, "type": "org"}
        return image | {
            "id": self.id,
            "createdAt": self.created,
            "startedAt": self.started,
            "finishedAt": self.finished if ended else None,
            "command": self.command,
            "arguments": [],
            "environment": self.environment,
            "secrets": dict.fromkeys(self.secrets),
            "flavor": self.flavor,
            "timeout": self.timeout,
            "labels": self.labels,
            "status": {"stage": self.stage, "message": self.message},
            "owner": owner,
            "initiator": {"type": "user", "id": "0" * 24, "name": "tester"},
        }


def in_a_subprocess(job: Job) -> int:
    """A ``Hub.runner`` that runs the command on this machine, with the job's environment and secrets."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    process = subprocess.Popen(
        job.command,
        env=kept | job.environment | job.secrets,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def read() -> None:
        for line in process.stdout or ():
            job.say(line.rstrip("\n"))

    reader = Thread(target=read, daemon=True)
    reader.start()
    while process.poll() is None:
        if job.over:
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    reader.join(5)
    return process.wait()
