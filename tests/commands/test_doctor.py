"""``lm-eval-dispersion doctor``: quiet where all is well, exit 1 and the fix where it is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lm_eval_dispersion.commands import main
from lm_eval_dispersion.seams import SEAMS


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """Printed lines by their mark."""
    said = capsys.readouterr()
    assert said.err == ""
    marked: dict[str, list[str]] = {}
    for line in said.out.splitlines()[:-1]:
        marked.setdefault(line[:4].strip(), []).append(line[5:])
    return marked


def test_all_is_well_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    marked = lines(capsys)
    assert set(marked) == {"ok", "-"}
    for name in ("Python", "lm-eval-dispersion", "lm_eval", "torch", "transformers"):
        assert any(line.startswith(f"{name} ") for line in marked["ok"])
    for seam in SEAMS:
        if seam.library != "vllm" and seam.beside != "vllm":
            assert f"{seam.library}: {seam.name} ({seam.versions})" in marked["ok"]
    yaml = "\n".join(file.read_text() for file in (Path(__file__).parents[2] / "tasks").rglob("*.yaml"))
    shipped = set(re.findall(r"^(?:task|group|tag): (dispersion\w*)$", yaml, re.MULTILINE))
    found = f"plain lm_eval finds {len(shipped)} tasks of ours, and dispersion_NAME for any other"
    assert len(shipped) > 10 and found in marked["ok"]
    assert any(line.startswith("GPU: ") for line in marked["-"])


def test_a_place_that_has_moved_is_one_line_with_the_fix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks.manager import TaskManager
    from transformers.models.llama.modeling_llama import LlamaPreTrainedModel

    monkeypatch.delattr(TaskManager, "_load_spec")
    monkeypatch.delattr(LlamaPreTrainedModel, "_can_record_outputs")
    assert main(["doctor"]) == 1
    first, second = lines(capsys)["FAIL"]
    assert first.startswith("lm_eval: task manager: TaskManager has no _load_spec; use lm_eval 0.4.13 or a newer")
    assert second.startswith("transformers: hidden states: _can_record_outputs names 0 modules")


def test_a_python_that_reads_no_pth_finds_no_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={sysconfig.get_path("purelib")} exec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert main(["doctor"]) == 1
    hook, tasks = lines(capsys)["FAIL"]
    assert hook.startswith("lm_eval_dispersion.pth does not run when Python starts; pip install ")
    assert tasks.startswith("plain lm_eval finds none of our tasks; pip install ") and "--include_path" in tasks


def test_an_lm_eval_of_another_time_fails_in_version_places_and_tasks(tmp_path: Path) -> None:
    (tmp_path / "lm_eval" / "tasks").mkdir(parents=True)
    (tmp_path / "lm_eval" / "__init__.py").touch()
    (tmp_path / "lm_eval" / "tasks" / "__init__.py").touch()
    (tmp_path / "lm_eval-0.4.7.dist-info").mkdir()
    (tmp_path / "lm_eval-0.4.7.dist-info" / "METADATA").write_text("Name: lm_eval\nVersion: 0.4.7\n")
    (tmp_path / "vllm.py").write_text("raise ImportError('libcuda is not here')\n")
    (tmp_path / "vllm-0.30.0.dist-info").mkdir()
    (tmp_path / "vllm-0.30.0.dist-info" / "METADATA").write_text("Name: vllm\nVersion: 0.30.0\n")
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval_dispersion", "doctor"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    wrong = [line[5:] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert "lm_eval 0.4.7: >=0.4.13,<0.5 is supported; pip install 'lm_eval>=0.4.13,<0.5'" in wrong
    assert "vllm 0.30.0: ==0.32.* is supported; pip install 'vllm==0.32.*'" in wrong
    assert any(line.startswith("lm_eval: task manager: ModuleNotFoundError: ") for line in wrong)
    assert any("vllm: workers: ImportError: libcuda is not here; use vllm 0.32.0 or" in line for line in wrong)
    assert any(line.startswith("plain lm_eval cannot list its tasks: ") for line in wrong)
    assert done.stdout.splitlines()[-1] == f"{len(wrong)} of these need mending"
