"""Units as jobs on the Hub's machines, each of which puts its results into the store by itself.

What is wanted is compared with what runs, again and again, and a job is found by its labels: one whose creation was cut
off is not started twice, and one that a coordinator left behind when it was killed is taken over by the next.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from huggingface_hub import JobStage, get_token

from dispersion_leaderboard import __version__
from dispersion_leaderboard.hub import REFUSALS, Refused
from dispersion_leaderboard.jobs._end import heard, outcome_of
from dispersion_leaderboard.jobs._service import JobService, Mark, Spec, mark
from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running import Outcome, Unit
from dispersion_leaderboard.store import PREFIX

PACKAGE = f"dispersion-leaderboard[local]=={__version__}"
"""This version of this package, with what runs models."""
_TRIES = 20  # failures in a row, of what is asked about one unit, before it is given up
_LOOKS = 3  # at the log of a job that has failed, whose last lines may come late


@dataclass
class _Job:
    id: str = ""
    adopted: bool = False
    limited: bool = False
    """Whether its time limit has been read back."""
    failures: int = 0
    looks: int = 0


class JobsExecutor:
    """See ``Executor``.

    Args:
        results: the store, ``hf://datasets/ORG/NAME``.
        flavor: the hardware, as the Hub calls it.
        image: a Docker image, or ``hf.co/spaces/ORG/NAME``, with Python.
        namespace: whose jobs they are, and who pays; None for the token's user.
        slots: jobs at the same time.
        timeout: seconds of a job: setting up, download and run together.
        token: what jobs are started with, and what they write to the store with; None for this machine's own.
        install: what pip installs in the container first; empty for nothing, where the image has this package.
        poll: seconds between two looks at the jobs, all of which one request tells of.

    Raises:
        SystemExit: in one line, where it cannot work.
    """

    def __init__(
        self,
        results: str,
        *,
        flavor: str,
        image: str,
        namespace: str | None,
        slots: int,
        timeout: float,
        token: str | None,
        install: str = PACKAGE,
        poll: float = 15.0,
    ) -> None:
        if not results.startswith(PREFIX):
            raise SystemExit(f"leaderboard: jobs store their results by themselves, in {PREFIX}ORG/NAME only")
        token = token or get_token()
        if token is None:
            raise SystemExit("leaderboard: no token; `hf auth login`, or set HF_TOKEN to one that may start jobs")
        self.slots = slots
        self._service = JobService(token, namespace)
        self._spec = Spec(results, image, flavor, int(timeout), install)
        self._poll = poll
        self._under_way: dict[Unit, _Job] = {}
        self._over: list[tuple[Unit, Outcome]] = []
        self._stopped: set[Mark] = set()
        self._cancelled: set[str] = set()
        self._next = 0.0

    def start(self, unit: Unit) -> None:
        """See ``Executor``; its job is made at the next look at all of them."""
        if unit.request.folder or unit.include_path:
            why = "the model or its tasks lie in a folder of a machine, where no job can read them"
            self._over.append((unit, Outcome(reason=Reason.NOT_FOUND, detail=why)))
            return
        self._stopped.discard(mark(unit))
        self._under_way[unit] = _Job()

    def ended(self) -> list[tuple[Unit, Outcome]]:
        """See ``Executor``.

        Raises:
            Refused: where the Hub takes no such jobs, or does not keep to the time limit asked for.
        """
        if (self._under_way or self._stopped) and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._poll
            self._look()
        over, self._over = self._over, []
        return over

    def stop(self, unit: Unit) -> None:
        """See ``Executor``."""
        self._over = [(other, outcome) for other, outcome in self._over if other != unit]
        job = self._under_way.pop(unit, None)
        if job is not None:
            # Where its creation was cut off there may be a job all the same: the next look finds and cancels it.
            self._stopped.add(mark(unit))
            self._cancel(job.id)

    def forget(self, request: Request) -> None:
        """See ``Executor``; a job leaves nothing behind."""

    def close(self) -> None:
        """See ``Executor``."""
        for unit in list(self._under_way):
            self.stop(unit)
        try:
            cancelled = not self._stopped or self._sweep(self._service.active(self._spec))
        except REFUSALS:
            cancelled = False
        if not cancelled:
            hours = self._spec.seconds / 3600
            print(f"leaderboard: not every job could be cancelled; they end within {hours:.1f} hours", file=sys.stderr)

    def _look(self) -> None:
        try:
            active = self._service.active(self._spec)
        except REFUSALS as error:
            self._service.demand_passing(error)
            return
        self._sweep(active)
        ours = {found: job for job, found in active.items() if job not in self._cancelled}
        for unit, job in list(self._under_way.items()):
            try:
                outcome = self._step(unit, job, active, ours)
                job.failures = 0
            except REFUSALS as error:
                self._service.demand_passing(error)
                job.failures += 1
                if job.failures < _TRIES:
                    continue
                self.stop(unit)
                outcome = Outcome(reason=Reason.INFRASTRUCTURE, detail="the Hub did not answer about its job")
            if outcome is not None:
                self._under_way.pop(unit, None)
                self._over.append((unit, outcome))

    def _step(self, unit: Unit, job: _Job, active: dict[str, Mark], ours: dict[Mark, str]) -> Outcome | None:
        """One unit: its job is found or made, then its time limit is read back, and at last its end is heard."""
        if not job.id:
            job.id = ours.get(mark(unit), "")
            job.adopted = bool(job.id)
            job.id = job.id or self._service.create(self._spec, unit)
        elif job.id not in active:
            return self._end(job)
        if not job.limited:
            self._read_back(job)
        return None

    def _read_back(self, job: _Job) -> None:
        """Looks whether the Hub has taken the time limit: its own, where none is asked for, is half an hour."""
        seconds = self._service.seconds(job.id)
        job.limited = seconds >= self._spec.seconds
        if job.limited:
            return
        self._cancel(job.id)
        if not job.adopted:
            told = f"{seconds} s" if seconds else "none"
            raise Refused(f"a job was to have {self._spec.seconds} s, and the Hub says {told}: it was cancelled")
        # It is an earlier run's, which had asked for less.
        job.id = ""

    def _end(self, job: _Job) -> Outcome | None:
        info = self._service.info(job.id)
        if info is None:
            return Outcome(reason=Reason.INFRASTRUCTURE, detail="the job was deleted")
        stage = info.status.stage
        if stage in (JobStage.RUNNING, JobStage.SCHEDULING):
            return None
        lines = self._service.log(job.id)
        job.looks += 1
        if stage == JobStage.ERROR and heard(lines) is None and job.looks < _LOOKS:
            return None
        return outcome_of(info, lines, self._spec)

    def _cancel(self, job: str) -> bool:
        if job and job not in self._cancelled and self._service.cancel(job):
            self._cancelled.add(job)
        return not job or job in self._cancelled

    def _sweep(self, active: dict[str, Mark]) -> bool:
        """Cancels what runs and is not wanted any more; False where some of it may still run."""
        unwanted = [job for job, found in active.items() if found in self._stopped]
        self._stopped &= set(active.values())
        return sum(self._cancel(job) for job in unwanted) == len(unwanted)
