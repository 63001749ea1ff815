"""A job that really runs: the command as it was sent, the real lm_eval, and results that it stores by itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running import Outcome, Unit
from dispersion_leaderboard.store import Results, open_tree
from hub import WRITER, Hub, in_a_subprocess
from hub_fixtures import loopback
from queue_jobs_made import STORE, executor, job_of, until


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with loopback(monkeypatch) as hub:
        hub.runner = in_a_subprocess
        # A job has this Python, and a home of its own.
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("HOME", str(tmp_path))
        yield hub


def run(unit: Unit, **options: object) -> Outcome:
    jobs = executor(**options)
    jobs.start(unit)
    ((ended, outcome),) = until(jobs.ended, 300)
    assert ended == unit
    return outcome


def on_the_hub(hub: Hub, model: Path | dict[str, bytes]) -> Unit:
    sha = hub.add_model("org/tiny", model).head.oid
    return Unit(Request("org/tiny", sha, "demo@01234567"), ("dispersion_demo_mmlu",), limit=2)


def test_a_job_evaluates_its_unit_and_stores_what_came_out(hub: Hub, tiny_llama: Path) -> None:
    unit = on_the_hub(hub, tiny_llama)
    outcome = run(unit)
    assert (outcome.reason, dict(outcome.files)) == (None, {})
    assert "dispersion_demo_mmlu" in outcome.log
    part = (unit.request.key, unit.group)
    assert Results(open_tree(STORE)).saved({part}) == {part}
    stored = hub.repositories["org/results"].files
    (results,) = [json.loads(content) for path, content in stored.items() if "results_" in path]
    assert 0 < results["results"]["dispersion_demo_mmlu"]["dispersion,none"] < 1
    assert not [line for _, line in job_of(hub).logs if WRITER in line]


def test_a_model_that_cannot_be_loaded_fails_for_a_reason_of_its_own_and_stores_nothing(
    hub: Hub, tiny_llama: Path
) -> None:
    files = {file.name: file.read_bytes() for file in tiny_llama.iterdir()}
    outcome = run(on_the_hub(hub, files | {"model.safetensors": files["model.safetensors"][:2000]}))
    assert outcome.reason is not None and not outcome.reason.retried
    assert job_of(hub).message == "Job failed with exit code: 3"
    assert "org/results" not in hub.repositories or not [p for p in hub.repositories["org/results"].files if "/" in p]


def test_results_that_the_store_refuses_are_the_infrastructures_fault(hub: Hub, tiny_llama: Path) -> None:
    unit = on_the_hub(hub, tiny_llama)
    hub.fail("create", 403, "no such right")
    outcome = run(unit)
    assert outcome.reason is Reason.INFRASTRUCTURE
    assert outcome.detail.startswith("results were not stored: ")
    assert job_of(hub).message == "Job failed with exit code: 1"
