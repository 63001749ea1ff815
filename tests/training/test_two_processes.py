"""Two processes with half the batch each, against one with all of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from two_processes import shard, train

# Twenty seconds, where another test has the second core.
pytestmark = pytest.mark.slow

Case = tuple[dict[str, Any], dict[str, Any]]
PUSH, PLAIN, MEANS = {"lam": 0.3}, {"lam": 0.0}, {"average_tokens_across_devices": False}
CASES: dict[str, Case] = {
    "push": (PUSH, {}),
    "monitor": (PLAIN, {}),
    "push, mean of means": (PUSH, MEANS),
    "monitor, mean of means": (PLAIN, MEANS),
    "cross-domain, accumulated": (PUSH | {"domains": "domain"}, {"gradient_accumulation_steps": 2}),
    "another objective": (PUSH | {"objective": "dispersive"}, {}),
}
Found = tuple[dict[str, float], Tensor]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """The log and the gradients of each case, of two processes."""
    file = tmp_path_factory.mktemp("two") / "found.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    command = [
        sys.executable,
        str(Path(__file__).with_name("two_processes.py")),
        str(file),
        json.dumps([*CASES.values()]),
    ]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    ranks = [os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    started = [subprocess.Popen(command, env=rank, **pipes) for rank in ranks]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said[-3000:]
    return dict(zip([*CASES, "sharded"], torch.load(file), strict=True))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_loss_and_its_gradient_are_those_of_one_process(tmp_path: Path, two: dict[str, Found]) -> None:
    for case in ("push", "monitor"):
        (log, gradient), (one, expected) = two[case], train(tmp_path, *CASES[case])
        assert log["loss"] == pytest.approx(one["loss"], rel=1e-6)
        assert [log[k] for k in ("dispersion", "push_away", "lam")] == pytest.approx(
            [one[k] for k in ("dispersion", "push_away", "lam")], rel=1e-12
        )
        close(gradient, expected)


def test_so_they_are_where_the_loss_is_a_mean_of_the_processes_means(tmp_path: Path, two: dict[str, Found]) -> None:
    (log, pushed), (plain_log, plain) = two["push, mean of means"], two["monitor, mean of means"]
    (one, expected), (one_plain, expected_plain) = (train(tmp_path, lam, MEANS) for lam in (PUSH, PLAIN))
    assert log["loss"] - plain_log["loss"] == pytest.approx(one["loss"] - one_plain["loss"], abs=1e-6)
    close(pushed - plain, expected - expected_plain)


def test_processes_and_accumulation_go_together(tmp_path: Path, two: dict[str, Found]) -> None:
    # Two micro-batches of two rows on each of two processes: accelerate deals whole micro-batches out in turn.
    case = "cross-domain, accumulated"
    (log, gradient), (one, expected) = two[case], train(tmp_path, *CASES[case])
    assert log["push_away"] == pytest.approx(one["push_away"], rel=1e-12)
    assert log["loss"] == pytest.approx(one["loss"], rel=1e-6)
    close(gradient, expected)


def test_another_objective_is_averaged_over_processes(tmp_path: Path, two: dict[str, Found]) -> None:
    # The same two halves, as micro-batches of one process.
    push, _ = CASES["another objective"]
    (log, gradient), (one, expected) = (
        two["another objective"],
        train(tmp_path, push, {"gradient_accumulation_steps": 2}),
    )
    assert log["push_away"] == pytest.approx(one["push_away"])
    assert log["loss"] == pytest.approx(one["loss"], rel=1e-6)
    close(gradient, expected)


def test_so_it_is_on_a_sharded_model(two: dict[str, Found]) -> None:
    (log, gradient), (one, expected) = two["sharded"], shard()
    assert log == pytest.approx(one, rel=1e-12)
    close(gradient, expected)
