"""Beside a newer lm_eval than was seen: one true line where a task of ours is asked for, and no word otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.harness.stock import ROLLING

NEWER = "0.5.0.dev1"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newer")
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(folder), f"lm_eval=={NEWER}"]
    subprocess.run([*command, "--python", sys.executable, "--prerelease", "allow"], check=True)
    return folder


def evaluate(newer: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(newer), sysconfig.get_path("purelib")))}
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--limit", "1", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_one_of_our_tasks_ends_in_one_line_that_names_both_versions(newer: Path) -> None:
    done = evaluate(newer, "--tasks", "dispersion_demo_news")
    said = [line for line in done.stderr.splitlines() if "lm-eval-dispersion" in line]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len(said) == 1 and said == done.stderr.splitlines()[-1:]
    assert f"lm_eval {NEWER}" in said[0] and "use lm_eval 0.4.13" in said[0]


def test_a_task_of_lm_evals_runs_there_as_if_we_were_not(newer: Path, tmp_path: Path) -> None:
    (tmp_path / "stock_rolling.yaml").write_text(ROLLING)
    done = evaluate(newer, "--tasks", "stock_rolling", "--include_path", str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "lm-eval-dispersion" not in done.stderr and "stock_rolling" in done.stdout


def test_each_place_that_it_has_kept_says_so_and_the_others_do_not(newer: Path) -> None:
    code = """
import json
from packaging.specifiers import SpecifierSet
from lm_eval_dispersion.seams import SEAMS
seams = [seam for seam in SEAMS if seam.library == "lm_eval" and seam.beside is None]
known = {seam.name: SpecifierSet(seam.versions).contains(VERSION, prereleases=True) for seam in seams}
print(json.dumps([known, {seam.name: seam.moved() for seam in seams}]))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(newer), sysconfig.get_path("purelib")))}
    command = [sys.executable, "-c", code.replace("VERSION", repr(NEWER))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    known, moved = json.loads(done.stdout.splitlines()[-1])
    assert known == {name: said is None for name, said in moved.items()}
    assert 0 < sum(known.values()) < len(known)
