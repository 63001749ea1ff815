"""The Hub's jobs, as its client knows them, and what the client does not tell of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256

from huggingface_hub import HfApi, JobInfo, JobStage
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from dispersion_leaderboard.hub import REFUSALS, Patience, Refused
from dispersion_leaderboard.running import Unit

UNIT, RESULTS = "DISPERSION_UNIT", "DISPERSION_RESULTS"
"""The environment variables that tell a job what it runs, and where its results go."""
Mark = tuple[str, str]
"""The labels that tell a unit's job from another's."""
_ACTIVE: list[JobStage | str] = [JobStage.RUNNING, JobStage.SCHEDULING]
_INSTALL = "DISPERSION_INSTALL"
_RUN = "python -m dispersion_leaderboard.jobs.entry"
_TAIL = 200
"""Lines of a log that are read."""


@dataclass(frozen=True)
class Spec:
    """What all jobs of an executor have in common."""

    results: str
    """The store that they write to, ``hf://datasets/ORG/NAME``."""
    image: str
    """A Docker image, or ``hf.co/spaces/ORG/NAME``."""
    flavor: str
    """The hardware, as the Hub calls it."""
    seconds: int
    """Of a job at the most: setting up, download and run together."""
    install: str = ""
    """What pip installs in the container first; empty for nothing."""


class JobService:
    """Jobs in one namespace; every call may raise what the client raises (``REFUSALS``).

    Args:
        token: what jobs are started with, and given as their secret.
        namespace: whose they are; None for the token's user.

    Raises:
        SystemExit: where the token's user cannot be found out.
    """

    def __init__(self, token: str, namespace: str | None) -> None:
        self._token = token
        self.api = HfApi(token=token)
        try:
            self.namespace = namespace or str(self.api.whoami()["name"])
        except REFUSALS as error:
            line = Patience("jobs", self.api.endpoint).line(error)
            raise SystemExit(f"leaderboard: {line}") from error

    def active(self, spec: Spec) -> dict[str, Mark]:
        """Those that wait or run, by id; one request tells of all."""
        jobs = self.api.list_jobs(status=_ACTIVE, labels=_queue(spec), namespace=self.namespace)
        labels = {job.id: job.labels or {} for job in jobs}
        ours = {job: found for job, found in labels.items() if _queue(spec).items() <= found.items()}
        return {job: (found.get("request", ""), found.get("group", "")) for job, found in ours.items()}

    def create(self, spec: Spec, unit: Unit) -> str:
        """Starts one and returns its id. The token goes with its secrets, and nowhere else."""
        request, group = mark(unit)
        environment = {UNIT: json.dumps(unit.to_json()), RESULTS: spec.results, "HF_ENDPOINT": self.api.endpoint}
        command = _RUN.split()
        if spec.install:
            environment[_INSTALL] = spec.install
            command = ["sh", "-c", f'python -m pip install --quiet "${_INSTALL}" && exec {_RUN}']
        job = self.api.run_job(
            image=spec.image,
            command=command,
            env=environment,
            secrets={"HF_TOKEN": self._token},
            flavor=spec.flavor,
            timeout=spec.seconds,
            name=re.sub(r"[^A-Za-z0-9_-]", "-", f"dispersion-{unit.request.model}")[:60],
            labels=_queue(spec) | {"request": request, "group": group},
            namespace=self.namespace,
        )
        return str(job.id)

    def seconds(self, job: str) -> int:
        """The time limit that the Hub has taken for one; 0 where it tells none. The client's answer leaves it out."""
        url = f"{self.api.endpoint}/api/jobs/{self.namespace}/{job}"
        response = get_session().get(url, headers=build_hf_headers(token=self._token))
        hf_raise_for_status(response)
        found = response.json()
        told = next((found[key] for key in ("timeoutSeconds", "timeout") if isinstance(found.get(key), int)), 0)
        return int(told)

    def info(self, job: str) -> JobInfo | None:
        """What is said of one; None where it is gone."""
        try:
            return self.api.inspect_job(job_id=job, namespace=self.namespace)
        except HfHubHTTPError as error:
            if error.response.status_code == 404:
                return None
            raise

    def log(self, job: str) -> list[str]:
        """The last lines of its output; of one that never ran there is none."""
        try:
            lines = list(self.api.fetch_job_logs(job_id=job, namespace=self.namespace, tail=_TAIL))
        except HfHubHTTPError as error:
            if _passes(error):
                raise
            return []
        return [part for line in lines for part in line.splitlines()]

    def cancel(self, job: str) -> bool:
        """Ends one; False where it is not known whether that was heard."""
        try:
            self.api.cancel_job(job_id=job, namespace=self.namespace)
        except REFUSALS as error:
            return not _passes(error)
        return True

    def demand_passing(self, error: Exception) -> None:
        """Goes on where the same may be accepted a little later.

        Raises:
            Refused: where it will not.
        """
        if not _passes(error):
            line = Patience(self.namespace, self.api.endpoint).line(error)
            raise Refused(line.replace(self._token, "<token>")) from error


def mark(unit: Unit) -> Mark:
    """How a unit's job is found again."""
    return unit.request.key[:16], _digest(unit.group)


def _queue(spec: Spec) -> dict[str, str]:
    return {"dispersion-queue": _digest(spec.results)}


def _digest(text: str) -> str:
    # A label takes neither every character nor every length.
    return sha256(text.encode()).hexdigest()[:16]


def _passes(error: Exception) -> bool:
    if not isinstance(error, HfHubHTTPError):
        return True
    return error.response.status_code in (408, 409, 425, 429) or error.response.status_code >= 500
