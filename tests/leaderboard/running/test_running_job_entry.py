"""What a job does at its end where the store does not take its results at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running import Outcome
from dispersion_leaderboard.running.job_entry import _saved
from dispersion_leaderboard.store import Results, open_tree
from hub import Hub
from queue_jobs_made import STORE, unit
from space_site import recorded_waits

ONE = unit(0, "task")
RUN = Outcome({"model/results_1.json": b"{}"}, log="its log")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return recorded_waits(monkeypatch)


def ask_to_wait(hub: Hub, times: int) -> None:
    for _ in range(times):
        hub.fail("commit", 429, "commits (128 per hour)")
        hub.faults[-1] = replace(hub.faults[-1], headers={"Retry-After": "2580"})


def test_a_store_that_asks_to_wait_is_waited_for_rather_than_running_it_all_again(hub: Hub, waits: list[float]) -> None:
    ask_to_wait(hub, 3)
    assert _saved(ONE, RUN, STORE) == RUN
    assert waits == [2581, 2581, 2581]
    part = (ONE.request.key, ONE.group)
    assert Results(open_tree(STORE)).saved([part]) == {part}


def test_a_store_that_asks_to_wait_again_and_again_is_given_up(hub: Hub, waits: list[float]) -> None:
    ask_to_wait(hub, 5)
    ended = _saved(ONE, RUN, STORE)
    assert (ended.reason, ended.files, ended.log) == (Reason.INFRASTRUCTURE, {}, "its log")
    assert "results were not stored: the Hub asks to wait 43 minutes" in ended.detail
    assert (len(waits), len(hub.faults)) == (3, 1)


def test_what_waiting_does_not_change_is_said_at_once(
    hub: Hub, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens["hf_reader_reader_reader"] = frozenset()
    monkeypatch.setenv("HF_TOKEN", "hf_reader_reader_reader")
    assert "no right to write to org/results" in _saved(ONE, RUN, STORE).detail
    assert "neither a folder nor" in _saved(ONE, RUN, "s3://org/results").detail
    assert waits == []
