"""What the clients ask about jobs."""

from __future__ import annotations

import re
from secrets import token_hex
from threading import Thread
from typing import TYPE_CHECKING

from hub._exchange import Answer, Events, Refusal, Request, Route
from hub._jobs import DEFAULT_TIMEOUT, Job

if TYPE_CHECKING:
    from hub._server import Hub


def _run(request: Request) -> Answer:
    (namespace,) = request.parts
    request.hub.asked.append((f"jobs/{namespace}", "", "run"))
    request.demand_right(namespace)
    asked = request.json
    if not asked.get("command") or not (asked.get("dockerImage") or asked.get("spaceId")):
        raise Refusal(400, "a job needs an image and a command")
    with request.hub.lock:
        job = Job(
            token_hex(12),
            namespace,
            [*asked["command"], *asked.get("arguments", [])],
            asked.get("dockerImage", ""),
            asked.get("spaceId", ""),
            asked.get("environment", {}),
            asked.get("secrets", {}),
            asked["flavor"],
            asked.get("timeoutSeconds", DEFAULT_TIMEOUT),
            asked.get("labels", {}),
            asked,
        )
        request.hub.jobs[job.id] = job
    if request.hub.runner:
        Thread(target=_carry_out, args=(request.hub, job), daemon=True).start()
    return Answer(job.told())


def _carry_out(hub: Hub, job: Job) -> None:
    job.start()
    try:
        code = hub.runner(job) if hub.runner else 0
    except Exception as error:  # as where there is no such command: the job fails, not the hub
        job.say(f"{type(error).__name__}: {error}")
        code = 127
    job.end("ERROR" if code else "COMPLETED", f"Job failed with exit code: {code}" if code else None)


def _list(request: Request) -> Answer:
    (namespace,) = request.parts
    request.hub.asked.append((f"jobs/{namespace}", "", "list"))
    request.demand_right(namespace)
    labels = {label.partition("=")[::2] for label in request.query.get("label", [])}
    stages = request.query.get("stage")
    with request.hub.lock:
        jobs = [job for job in reversed(request.hub.jobs.values()) if job.namespace == namespace]
    found = [told for job in jobs if labels <= set(job.labels.items()) for told in [job.told()]]
    found = [told for told in found if not stages or told["status"]["stage"] in stages]
    start = int(request.option("cursor") or 0)
    end = start + request.hub.page
    return Answer(found[start:end], request.following(end, more=end < len(found)))


def _job(request: Request, what: str) -> Job:
    namespace, name = request.parts
    request.hub.asked.append((f"jobs/{namespace}/{name}", "", what))
    request.demand_right(namespace)
    job = request.hub.jobs.get(name)
    if job is None or job.namespace != namespace:
        raise Refusal(404, "Job not found")
    return job


def _inspect(request: Request) -> Answer:
    return Answer(_job(request, "inspect").told())


def _logs(request: Request) -> Answer:
    tail = request.option("tail")
    return Answer(Events(_job(request, "logs").follow(int(tail) if tail else None)))


def _cancel(request: Request) -> Answer:
    job = _job(request, "cancel")
    job.end("CANCELED")
    return Answer(job.told())


JOBS: tuple[Route, ...] = (
    ("POST", re.compile(r"/api/jobs/([^/]+)"), "jobs/run", _run),
    ("GET", re.compile(r"/api/jobs/([^/]+)"), "jobs/list", _list),
    ("GET", re.compile(r"/api/jobs/([^/]+)/([^/]+)"), "jobs/inspect", _inspect),
    ("GET", re.compile(r"/api/jobs/([^/]+)/([^/]+)/logs"), "jobs/logs", _logs),
    ("POST", re.compile(r"/api/jobs/([^/]+)/([^/]+)/cancel"), "jobs/cancel", _cancel),
)
