"""Jobs of the Hub over a bad connection, jobs that are stopped, and jobs that a killed coordinator has left behind."""

from __future__ import annotations

import pytest
from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running import Outcome
from hub import Hub
from queue_jobs_made import begun, executor, finish, job_of, stages, unit, until


@pytest.mark.parametrize("fault", [0, 429, 500, 503])
def test_what_passes_is_waited_out(hub: Hub, fault: int) -> None:
    jobs = executor()
    jobs.start(unit())
    for endpoint in ("jobs/list", "jobs/run", "jobs/inspect"):
        hub.fail(endpoint, fault)
    for _ in range(4):
        assert jobs.ended() == []
    assert stages(hub) == ["SCHEDULING"]
    hub.fail("jobs/list", fault)
    hub.fail("jobs/inspect", fault)
    hub.fail("jobs/logs", fault)
    finish(job_of(hub), Outcome())
    assert until(jobs.ended) == [(unit(), Outcome())]


@pytest.mark.parametrize("fault", [0, 500])
def test_a_job_whose_creation_was_answered_by_nobody_is_not_made_twice(hub: Hub, fault: int) -> None:
    jobs = executor()
    jobs.start(unit())
    hub.fail("jobs/run", fault, landed=True)
    for _ in range(3):
        assert jobs.ended() == []
    assert len(hub.jobs) == 1
    finish(job_of(hub), Outcome(reason=Reason.LOAD))
    assert [outcome.reason for _, outcome in jobs.ended()] == [Reason.LOAD]


def test_a_hub_that_answers_nothing_for_long_is_the_infrastructures_fault(hub: Hub) -> None:
    jobs = executor()
    jobs.start(unit())
    hub.fail("jobs/run", 500, times=50)
    ((_, outcome),) = until(jobs.ended)
    assert outcome.reason is Reason.INFRASTRUCTURE
    assert jobs.ended() == []


@pytest.mark.parametrize(("status", "line"), [(402, "402 Pre-paid credit"), (403, "no right to write to org")])
def test_what_does_not_pass_is_said_in_one_line(hub: Hub, status: int, line: str) -> None:
    jobs = executor()
    jobs.start(unit())
    hub.fail("jobs/run", status, "Pre-paid credit balance is insufficient")
    with pytest.raises(Refused, match=line):
        jobs.ended()
    jobs.close()


def test_a_unit_that_is_stopped_has_its_job_cancelled_and_is_not_heard_of_again(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit(0), unit(1))
    jobs.stop(unit(0))
    assert stages(hub) == ["CANCELED", "SCHEDULING"]
    jobs.stop(unit(1))
    assert jobs.ended() == []
    hub.asked.clear()
    assert jobs.ended() == []
    assert hub.asked == []


def test_a_job_is_cancelled_all_the_same_where_the_hub_did_not_hear_it_the_first_time(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    hub.fail("jobs/cancel", 500)
    jobs.stop(unit())
    assert stages(hub) == ["SCHEDULING"]
    assert jobs.ended() == []
    assert stages(hub) == ["CANCELED"]


def test_what_is_closed_leaves_no_job_behind_not_even_one_it_does_not_know(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit(0))
    hub.fail("jobs/run", landed=True)
    begun(jobs, unit(1))
    hub.fail("jobs/cancel", 500)
    jobs.close()
    assert stages(hub) == ["CANCELED", "CANCELED"]


def test_whoever_cannot_cancel_is_told_when_the_jobs_end(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = executor()
    begun(jobs, unit())
    hub.fail("jobs/cancel", 500, times=9)
    jobs.close()
    assert capsys.readouterr().err == "leaderboard: not every job could be cancelled; they end within 2.0 hours\n"


def test_a_job_that_a_killed_coordinator_left_behind_is_taken_over(hub: Hub) -> None:
    begun(executor(), unit(0), unit(1))
    jobs = executor()
    begun(jobs, unit(1))
    assert len(hub.jobs) == 2
    finish(job_of(hub, 1), Outcome())
    assert jobs.ended() == [(unit(1), Outcome())]


def test_a_job_that_was_left_behind_with_less_time_is_replaced(hub: Hub) -> None:
    begun(executor(timeout=60), unit())
    jobs = executor()
    begun(jobs, unit())
    assert jobs.ended() == []
    assert [(job.stage, job.timeout) for job in hub.jobs.values()] == [("CANCELED", 60), ("SCHEDULING", 7200)]


def test_a_unit_whose_job_has_ended_before_gets_a_new_one(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    jobs.stop(unit())
    begun(jobs, unit())
    assert stages(hub) == ["CANCELED", "SCHEDULING"]
    assert jobs.ended() == []


def test_a_job_that_is_still_being_cancelled_is_not_taken_over(hub: Hub) -> None:
    jobs = executor()
    begun(jobs, unit())
    jobs.stop(unit())
    job_of(hub).stage = "SCHEDULING"
    job_of(hub).start()
    begun(jobs, unit())
    assert jobs.ended() == []
    assert stages(hub) == ["RUNNING", "SCHEDULING"]
