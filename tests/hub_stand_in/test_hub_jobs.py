"""Jobs on the stand-in of the Hub, seen through the real client."""

from __future__ import annotations

import sys
import time
from threading import Timer

import pytest
from hub import WRITER, Hub, in_a_subprocess
from huggingface_hub import HfApi, JobInfo, get_session
from huggingface_hub.errors import HfHubHTTPError, JobNotFoundError

SECRET = "hf_very_secret"


def run(api: HfApi, *command: str, **details: object) -> JobInfo:
    given = {"image": "python:3.12", "command": list(command) or ["true"], "namespace": "org"} | details
    return api.run_job(**given)


def raw(hub: Hub, path: str) -> str:
    headers = {"Authorization": f"Bearer {WRITER}"}
    return str(get_session().get(f"{hub.url}/api/jobs/org{path}", headers=headers).text)


def test_a_job_is_as_it_was_asked_for_and_its_secrets_are_not_told(hub: Hub, api: HfApi) -> None:
    details = {"env": {"A": "1"}, "secrets": {"HF_TOKEN": SECRET}, "flavor": "a10g-small", "labels": {"unit": "x=1"}}
    made = run(api, "echo", "hello", timeout="2h", **details)
    found = api.inspect_job(job_id=made.id, namespace="org")
    assert (found.docker_image, found.command, found.environment) == ("python:3.12", ["echo", "hello"], {"A": "1"})
    assert (found.flavor, found.labels["unit"], found.status.stage) == ("a10g-small", "x=1", "SCHEDULING")
    assert found.secrets == {"HF_TOKEN": None}
    job = hub.jobs[made.id]
    assert (job.secrets, job.timeout) == ({"HF_TOKEN": SECRET}, 7200)
    assert get_session().get(f"{hub.url}/api/jobs/org/{made.id}").status_code == 401
    for path in ("", f"/{made.id}"):
        assert SECRET not in raw(hub, path)
        assert '"timeout": 7200' in raw(hub, path)


def test_a_job_without_a_timeout_has_half_an_hour(hub: Hub, api: HfApi) -> None:
    assert hub.jobs[run(api).id].timeout == 1800
    assert '"timeout": 1800' in raw(hub, "")


def test_jobs_are_found_by_label_and_stage_the_newest_first(hub: Hub, api: HfApi) -> None:
    hub.page = 2
    made = [run(api, labels={"queue": "q", "unit": str(number)}).id for number in range(5)]
    run(api, labels={"queue": "other"})
    assert [job.id for job in api.list_jobs(namespace="org", labels={"queue": "q"})] == made[::-1]
    assert [job.id for job in api.list_jobs(namespace="org", labels={"queue": "q", "unit": "3"})] == [made[3]]
    hub.jobs[made[1]].start()
    hub.jobs[made[2]].end("COMPLETED")
    found = api.list_jobs(namespace="org", labels={"queue": "q"}, status=["RUNNING", "COMPLETED"])
    assert [job.id for job in found] == [made[2], made[1]]


def test_logs_come_as_they_are_written(hub: Hub, api: HfApi) -> None:
    made = run(api)
    job = hub.jobs[made.id]
    job.start()
    job.say("one")
    Timer(0.3, job.say, ["two"]).start()
    Timer(0.6, job.end, ["COMPLETED"]).start()
    assert list(api.fetch_job_logs(job_id=made.id, namespace="org", follow=True)) == ["one", "two"]
    assert list(api.fetch_job_logs(job_id=made.id, namespace="org")) == ["one", "two"]
    assert list(api.fetch_job_logs(job_id=made.id, namespace="org", tail=1)) == ["two"]
    assert api.inspect_job(job_id=made.id, namespace="org").finished_at is not None


def test_a_runner_really_runs_the_command_with_its_environment_and_secrets(hub: Hub, api: HfApi) -> None:
    hub.runner = in_a_subprocess
    script = "import os; print(os.environ['A'], len(os.environ['HF_TOKEN'])); raise SystemExit(int(os.environ['A']))"
    for code, stage in ((0, "COMPLETED"), (3, "ERROR")):
        made = run(api, sys.executable, "-c", script, env={"A": str(code)}, secrets={"HF_TOKEN": SECRET})
        ended = api.wait_for_job(made.id, namespace="org", timeout=30, poll_interval=0.05)
        assert ended.status.stage == stage
        assert list(api.fetch_job_logs(job_id=made.id, namespace="org")) == [f"{code} {len(SECRET)}"]
    assert ended.status.message == "Job failed with exit code: 3"
    missing = run(api, "/no/such/command")
    assert api.wait_for_job(missing.id, namespace="org", timeout=30, poll_interval=0.05).status.stage == "ERROR"


def test_a_cancelled_job_and_one_whose_time_is_up_are_ended(hub: Hub, api: HfApi) -> None:
    hub.runner = in_a_subprocess
    began = time.monotonic()
    cancelled, slow = run(api, "sleep", "60"), run(api, "sleep", "60", timeout=1)
    api.cancel_job(job_id=cancelled.id, namespace="org")
    ended = api.wait_for_job([cancelled.id, slow.id], namespace="org", timeout=30, poll_interval=0.05)
    assert [job.status.stage for job in ended] == ["CANCELED", "ERROR"]
    assert ended[1].status.message == "Job timeout"
    assert time.monotonic() - began < 20


def test_who_may_not_run_jobs_and_what_is_no_job(hub: Hub, api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError) as refused:
        run(api, namespace="else")
    assert refused.value.response.status_code == 403
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0" * 24, namespace="org")
    assert not hub.jobs


def test_faults_hit_jobs_by_endpoint_or_all_of_them(hub: Hub, api: HfApi) -> None:
    hub.fail("jobs", 503)
    with pytest.raises(HfHubHTTPError):
        run(api)
    hub.fail("jobs/run", 500, landed=True)
    assert list(api.list_jobs(namespace="org")) == []
    with pytest.raises(HfHubHTTPError):
        run(api, labels={"a": "b"})
    (job,) = api.list_jobs(namespace="org", labels={"a": "b"})
    hub.fail("jobs/inspect")
    with pytest.raises(Exception, match="disconnected"):
        api.inspect_job(job_id=job.id, namespace="org")
