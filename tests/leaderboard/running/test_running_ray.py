"""Units as tasks of a real Ray cluster on this machine, with the real lm_eval; parts of it are killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running import Outcome, RayExecutor, Unit
from queue_jobs_made import until
from queue_ray_made import apart, busy, cluster, lm_evals, task_of, unit

LONG = 10_000
"""Documents: it does not end by itself while a test waits for its end."""
TOKEN = "hf_TheTokenOfTheMachineThatCoordinates"


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_finished(request: pytest.FixtureRequest) -> Iterator[None]:
    """What one test has left on the machines is not taken for the next one's run."""
    yield
    if "ray_cluster" in request.fixturenames:
        made = request.getfixturevalue("ray_cluster")
        shutil.rmtree(made.folder / "dispersion-leaderboard", ignore_errors=True)


@dataclass(frozen=True)
class Evaluated:
    unit: Unit
    outcome: Outcome
    environments: list[dict[str, str]]
    files_with_token: list[str]
    kept: list[Path]
    left: list[Path]


@contextmanager
def executor(address: str | None, scratch: Path = Path("/nowhere"), **options: Any) -> Iterator[RayExecutor]:
    made = RayExecutor(scratch, address=address, **{"slots": 2, "gpus": 0.0, "memory": 0} | options)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def evaluated(ray_cluster: Any, tiny_llama: Path) -> Evaluated:
    """One unit, from a machine that has a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        with executor(ray_cluster.address) as ray:
            ray.start(unit(tiny_llama))
            process, *_ = until(lambda: lm_evals(ray_cluster.folder))
            environments = [one.environ() for one in (process, task_of(process))]
            (ended,) = until(ray.ended, 200)
            assert ray.ended() == []
            written = subprocess.run(["grep", "-rlF", TOKEN, str(ray_cluster.folder)], capture_output=True, text=True)
            kept = list(ray_cluster.folder.glob(f"dispersion-leaderboard/{ended[0].request.key}"))
            ray.forget(ended[0].request)
    return Evaluated(*ended, environments, written.stdout.split(), kept, [folder for folder in kept if folder.exists()])


def test_a_unit_is_evaluated_on_the_cluster_and_its_results_come_back(evaluated: Evaluated, tiny_llama: Path) -> None:
    outcome = evaluated.outcome
    assert (evaluated.unit, outcome.reason, outcome.detail) == (unit(tiny_llama), None, "")
    (results,) = [json.loads(content) for path, content in outcome.files.items() if "results_" in path]
    assert 0 < results["results"]["dispersion_demo_mmlu"]["dispersion,none"] < 1


def test_a_token_of_the_machine_that_coordinates_is_nowhere_on_the_cluster(evaluated: Evaluated) -> None:
    assert not [found for found in evaluated.environments if TOKEN in found.values()]
    assert evaluated.files_with_token == []


def test_what_a_request_has_left_on_the_machines_goes_with_it(evaluated: Evaluated) -> None:
    assert (len(evaluated.kept), evaluated.left) == (1, [])


@pytest.mark.slow
def test_a_unit_whose_process_of_ray_is_killed_is_run_again_and_ends_with_results(
    ray_cluster: Any, tiny_llama: Path
) -> None:
    with executor(ray_cluster.address) as ray:
        ray.start(unit(tiny_llama))
        first, *_ = until(lambda: busy(ray_cluster.folder))
        task_of(first).kill()
        until(lambda: not first.is_running())
        ((_, outcome),) = until(ray.ended, 200)
    assert (outcome.reason, bool(outcome.files)) == (None, True)


@pytest.mark.slow
def test_a_unit_whose_machine_is_lost_is_run_again_on_another(ray_cluster: Any, tiny_llama: Path) -> None:
    lost = ray_cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20)
    with executor(ray_cluster.address, gpus=1.0) as ray:
        ray.start(unit(tiny_llama))
        first, *_ = until(lambda: busy(ray_cluster.folder))
        ray_cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20)
        ray_cluster.remove_node(lost, allow_graceful=False)
        ((_, outcome),) = until(ray.ended, 200)
    assert (outcome.reason, bool(outcome.files)) == (None, True)
    assert not first.is_running()


def test_a_unit_whose_process_is_lost_too_often_is_the_infrastructures_fault(
    ray_cluster: Any, tiny_llama: Path
) -> None:
    with executor(ray_cluster.address, retries=0) as ray:
        ray.start(unit(tiny_llama))
        first, *_ = until(lambda: busy(ray_cluster.folder))
        task_of(first).kill()
        ((_, outcome),) = until(ray.ended)
    assert outcome.reason is Reason.INFRASTRUCTURE
    assert outcome.detail == "lost by Ray (WorkerCrashedError)"


def test_a_unit_that_is_stopped_leaves_no_process_and_is_not_heard_of_again(ray_cluster: Any, tiny_llama: Path) -> None:
    with executor(ray_cluster.address) as ray:
        ray.start(unit(tiny_llama, limit=LONG))
        until(lambda: busy(ray_cluster.folder))
        ray.stop(unit(tiny_llama, limit=LONG))
        until(lambda: not lm_evals(ray_cluster.folder))
        time.sleep(3)
        assert (lm_evals(ray_cluster.folder), ray.ended()) == ([], [])


def test_what_is_closed_leaves_no_process_but_the_cluster_it_found(ray_cluster: Any, tiny_llama: Path) -> None:
    with executor(ray_cluster.address) as ray:
        ray.start(unit(tiny_llama, limit=LONG))
        until(lambda: busy(ray_cluster.folder))
    until(lambda: not lm_evals(ray_cluster.folder))
    with executor(ray_cluster.address):
        pass


def test_a_machine_without_memory_left_is_told_from_one_that_was_lost(tiny_llama: Path) -> None:
    always = {"memory_usage_threshold": 0.01, "memory_monitor_refresh_ms": 100}
    with cluster(_system_config=always) as full, executor(full.address, retries=0) as ray:
        ray.start(unit(tiny_llama))
        ((_, outcome),) = until(ray.ended)
    assert (outcome.reason, outcome.files) == (Reason.OOM, {})


def test_a_run_that_no_machine_of_the_cluster_can_take_is_said_in_one_line_and_waits(
    ray_cluster: Any, tiny_llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with executor(ray_cluster.address, gpus=8.0) as ray:
        ray.start(unit(tiny_llama))
        assert ray.ended() == []
    line = "leaderboard: no machine of the Ray cluster has 8 GPUs and 0 GB of memory for one run now; runs wait"
    assert line in capfd.readouterr().err


def test_a_cluster_of_its_own_refuses_what_this_machine_never_has_and_leaves_nothing_running(tmp_path: Path) -> None:
    with apart():
        before = raylets()
        with pytest.raises(SystemExit, match="has 0 GPUs and 1e"), executor(None, tmp_path, memory=10**15):
            pass
        until(lambda: raylets() == before)


def raylets() -> set[int]:
    return {process.pid for process in psutil.process_iter(["name"]) if process.info["name"] == "raylet"}


def test_a_cluster_of_its_own_works_in_the_scratch_of_this_machine(tmp_path: Path, tiny_llama: Path) -> None:
    with apart():
        before = raylets()
        with executor(None, tmp_path) as ray:
            assert raylets() > before
            ray.start(unit(tiny_llama, limit=LONG))
            until(lambda: busy(tmp_path))
        until(lambda: raylets() == before and not lm_evals(tmp_path))


def test_a_cluster_that_is_not_there_is_said_in_one_line() -> None:
    code = "from pathlib import Path; from dispersion_leaderboard.running._ray import RayExecutor as R; "
    code += "R(Path('x'), address='127.0.0.1:9', slots=1, gpus=0, memory=0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("leaderboard: cannot use the Ray cluster 127.0.0.1:9: ")
    assert "Traceback" not in done.stderr


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(SystemExit, match=r"needs Ray: pip install 'dispersion-leaderboard\[ray\]'"),
        executor(None, tmp_path),
    ):
        pass
