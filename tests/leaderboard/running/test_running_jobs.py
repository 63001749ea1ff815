"""Units as jobs of the Hub, by its real client: what is asked for, and what is made of how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running import Outcome, Unit
from dispersion_leaderboard.running._job_end import heard, told
from hub import WRITER, Hub
from queue_jobs_made import begun, executor, finish, job_of, stages, unit, until


def test_a_unit_becomes_one_job_with_the_hardware_the_image_and_the_time_that_were_asked_for(hub: Hub) -> None:
    begun(executor(), unit())
    job = job_of(hub)
    assert (job.flavor, job.image, job.timeout, job.namespace) == ("a10g-small", "python:3.12", 7200, "org")
    assert json.loads(job.environment["DISPERSION_UNIT"])["request"]["model"] == "org/model-0"
    assert job.labels["request"] == unit().request.key[:16]
    assert job.command == ["python", "-m", "dispersion_leaderboard.running.job_entry"]


def test_pip_installs_what_is_asked_for_before_the_unit_runs(hub: Hub) -> None:
    begun(executor(install="lm-eval-dispersion[leaderboard] @ git+https://example.org/x; touch y"), unit())
    shell, flag, line = job_of(hub).command
    assert (shell, flag) == ("sh", "-c")
    assert line.startswith('python -m pip install --quiet "$DISPERSION_INSTALL" && ')
    assert job_of(hub).environment["DISPERSION_INSTALL"].endswith("; touch y")


def test_jobs_belong_to_the_user_of_the_token_where_nobody_else_is_named(hub: Hub) -> None:
    jobs = executor(namespace=None)
    hub.tokens[WRITER] = hub.tokens[WRITER] | {jobs._service.namespace}
    begun(jobs, unit())
    assert job_of(hub).namespace == jobs._service.namespace != "org"


def test_the_token_is_among_the_secrets_of_a_job_and_nowhere_else(hub: Hub) -> None:
    begun(executor(install="x"), unit())
    job = job_of(hub)
    assert job.secrets == {"HF_TOKEN": WRITER}
    shown = {key: value for key, value in job.asked.items() if key != "secrets"}
    assert shown["environment"] and WRITER not in json.dumps(shown)


@pytest.mark.parametrize("kept", [1800, 0])
def test_a_job_that_does_not_get_its_time_is_cancelled_and_one_line_says_so(hub: Hub, kept: int) -> None:
    hub.before("jobs/inspect", lambda: setattr(job_of(hub), "timeout", kept or None))
    jobs = executor()
    jobs.start(unit())
    with pytest.raises(Refused, match=f"7200 s, and the Hub says {f'{kept} s' if kept else 'none'}: it was cancelled"):
        jobs.ended()
    assert stages(hub) == ["CANCELED"]


def test_a_job_that_completes_has_put_its_results_into_the_store_itself(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    finish(job_of(hub), Outcome(log="two\nlines"))
    assert jobs.ended() == [(unit(), Outcome(log="two\nlines"))]
    assert jobs.ended() == []


def test_a_job_that_fails_says_why_and_its_log_is_fit_to_be_shown(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    finish(job_of(hub), Outcome(reason=Reason.LOAD, detail="no such layer", log=f"token={WRITER}\nlast line"))
    ((_, outcome),) = jobs.ended()
    assert (outcome.reason, outcome.detail) == (Reason.LOAD, "no such layer")
    assert outcome.log.endswith("last line") and WRITER not in outcome.log


def test_no_line_of_a_models_log_is_taken_for_the_outcome() -> None:
    forged = Outcome(reason=Reason.LOAD, detail="broken", log='dispersion-outcome: {"reason": null, "detail": ""}')
    assert heard(told(forged).splitlines()) == forged
    assert heard(told(forged).splitlines()[:1]) is None


@pytest.mark.parametrize(
    ("stage", "message", "reason", "detail"),
    [
        ("ERROR", "Job timeout", Reason.TIMEOUT, "longer than the job's 7200 s"),
        ("ERROR", "Job failed with exit code: 137. Reason: OOMKilled", Reason.OOM, "more memory than a job on a10g-"),
        ("ERROR", "Job failed with exit code: 1", Reason.INFRASTRUCTURE, "the job ended as error: Job failed with"),
        ("CANCELED", None, Reason.INFRASTRUCTURE, "the job ended as canceled"),
        ("DELETED", None, Reason.INFRASTRUCTURE, "the job ended as deleted"),
    ],
)
def test_of_a_job_that_was_ended_from_outside_the_hubs_word_tells_the_reason(
    hub: Hub, stage: str, message: str | None, reason: Reason, detail: str
) -> None:
    jobs = executor()
    begun(jobs, unit())
    job_of(hub).start()
    job_of(hub).say("so far")
    job_of(hub).end(stage, message)
    ((_, outcome),) = until(jobs.ended)
    assert (outcome.reason, outcome.log) == (reason, "so far")
    assert outcome.detail.startswith(detail)


def test_a_job_that_is_gone_is_lost_and_can_be_tried_again(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    hub.jobs.clear()
    ((_, outcome),) = jobs.ended()
    assert outcome.reason is not None and outcome.reason.retried


def test_the_last_lines_of_a_failed_job_may_come_late(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    job_of(hub).start()
    job_of(hub).end("ERROR", "Job failed with exit code: 3")
    assert jobs.ended() == []
    job_of(hub).say(told(Outcome(reason=Reason.NAN, detail="not a number")))
    ((_, outcome),) = jobs.ended()
    assert outcome.reason is Reason.NAN


def test_one_request_tells_of_all_jobs_and_not_more_often_than_asked_for(hub: Hub) -> None:
    jobs = executor(slots=20)
    begun(jobs, *map(unit, range(20)))
    hub.asked.clear()
    assert jobs.ended() == []
    assert [what for _, _, what in hub.asked] == ["list"]
    patient = executor(poll=3600.0)
    begun(patient, unit(50))
    hub.asked.clear()
    for _ in range(5):
        assert patient.ended() == []
    assert hub.asked == []


def test_the_job_that_fills_one_store_does_not_stand_for_another_stores(hub: Hub) -> None:
    begun(executor(), unit())
    begun(executor("hf://datasets/org/others"), unit())
    assert [job.environment["DISPERSION_RESULTS"][-6:] for job in hub.jobs.values()] == ["esults", "others"]


def test_jobs_of_others_in_the_same_namespace_are_left_alone(hub: Hub) -> None:
    begun(executor(), unit())
    other = executor(namespace="org")
    begun(other, unit(1))
    other.close()
    assert stages(hub) == ["SCHEDULING", "CANCELED"]


def test_a_model_in_a_folder_is_not_sent_away(hub: Hub) -> None:
    jobs = executor()
    request = Request("m", "0" * 64, "made@01234567", folder="/models/m")
    jobs.start(Unit(request, ("task_a",)))
    ((_, outcome),) = jobs.ended()
    assert outcome.reason is Reason.NOT_FOUND
    assert not hub.jobs


def test_results_in_a_folder_and_a_missing_token_are_refused_in_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dispersion_leaderboard.running import _jobs

    with pytest.raises(SystemExit, match="in hf://datasets/ORG/NAME only"):
        executor(str(tmp_path))
    monkeypatch.setattr(_jobs, "get_token", lambda: None)
    with pytest.raises(SystemExit, match="no token"):
        executor()
