"""The two distributions as their users install them, each in a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "tests" / "leaderboard" / "example"
UV = str(Path(sys.executable).with_name("uv"))
CONSTRAINTS = str(REPOSITORY / "constraints.txt")
WHERE = """
from importlib.util import find_spec
for name in "lm_eval_dispersion dispersion_leaderboard leaderboard tests benchmarks tasks hatch_build".split():
    spec = find_spec(name)
    print(name, spec and spec.origin)
"""

pytestmark = pytest.mark.slow


def run(*command: str, **environment: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
    done = subprocess.run(command, capture_output=True, text=True, env=inherited | environment, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout + (done.stderr if "--dry-run" in command else "")


class Fresh:
    """An environment with nothing in it."""

    def __init__(self, folder: Path) -> None:
        run(UV, "venv", "--quiet", "--python", sys.executable, str(folder))
        self.bin = folder / "bin"
        self.site = next(folder.glob("lib/python*/site-packages"))

    def install(self, *arguments: str) -> str:
        return run(UV, "pip", "install", "--python", str(self.bin / "python"), "--constraint", CONSTRAINTS, *arguments)

    def importable(self) -> dict[str, str]:
        lines = run(str(self.bin / "python"), "-I", "-c", WHERE).splitlines()
        return dict(line.split(" ", 1) for line in lines if not line.endswith(" None"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for project in (REPOSITORY, REPOSITORY / "leaderboard"):
        run(UV, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(project))
    return folder


@pytest.fixture(scope="module")
def leaderboard(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """An environment into which nothing but the leaderboard was installed."""
    environment = Fresh(tmp_path_factory.mktemp("fresh") / "environment")
    environment.install(str(next(wheels.glob("dispersion_leaderboard-*.whl"))))
    return environment


@pytest.fixture(scope="module")
def site(leaderboard: Fresh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built there."""
    out = tmp_path_factory.mktemp("built") / "site"
    results, overrides = str(EXAMPLE / "results"), str(EXAMPLE / "overrides.yaml")
    said = run(
        *(str(leaderboard.bin / "dispersion-leaderboard"), "build"),
        *("--results", results, "--overrides", overrides, "--out", str(out)),
    )
    assert said.endswith(f"{out / 'index.html'}\n")
    return out


def test_the_leaderboard_builds_the_example_without_torch_transformers_and_lm_eval(
    leaderboard: Fresh, site: Path
) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "SmolLM2-135M-Instruct" in page and "gemma-3-270m" in page
    installed = {path.name.partition("-")[0] for path in leaderboard.site.glob("*.dist-info")}
    assert not installed & {"torch", "transformers", "lm_eval", "lm_eval_dispersion", "vllm", "ray"}
    assert {"pandas", "dispersion_leaderboard"} <= installed
    assert set(leaderboard.importable()) == {"dispersion_leaderboard"}


@pytest.fixture
def served(leaderboard: Fresh, site: Path) -> Iterator[str]:
    command = [str(leaderboard.bin / "dispersion-leaderboard"), "serve", "--site", str(site), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/")
    assert process.stdout
    yield next(word for word in process.stdout.readline().split() if word.startswith("http"))
    process.terminate()
    process.communicate(timeout=60)


def test_the_leaderboard_serves_the_example_there(served: str) -> None:
    with urlopen(served, timeout=60) as page:
        assert page.status == 200 and b"SmolLM2-135M-Instruct" in page.read()


def test_pypis_own_leaderboard_works_beside_ours(leaderboard: Fresh, site: Path) -> None:
    leaderboard.install("leaderboard==3.7.3")
    theirs = "from leaderboard.leaderboard import Leaderboard as L; print(L.DEFAULT_PAGE_SIZE, L.__module__)"
    assert run(str(leaderboard.bin / "python"), "-c", theirs) == "25 leaderboard.leaderboard\n"
    table = run(str(leaderboard.bin / "dispersion-leaderboard"), "records", "--results", str(EXAMPLE / "results"))
    assert table.count("\n") > 1000


@pytest.mark.parametrize(
    "asked",
    [["--find-links", "WHEELS", "lm-eval-dispersion[leaderboard]"], [str(REPOSITORY), f"{REPOSITORY}/leaderboard"]],
)
def test_both_come_by_the_extra_and_by_the_two_folders_of_a_checkout(
    asked: list[str], wheels: Path, tmp_path: Path
) -> None:
    fresh = Fresh(tmp_path / "environment")
    plan = fresh.install("--dry-run", *(str(wheels) if part == "WHEELS" else part for part in asked))
    assert "+ lm-eval-dispersion" in plan and "+ dispersion-leaderboard" in plan
    assert "+ lm-eval==0.4.13" in plan and "+ torch==" in plan and "+ vl-convert-python==" in plan


def test_an_editable_install_of_both_names_the_two_packages_and_nothing_that_lies_beside_them(tmp_path: Path) -> None:
    fresh = Fresh(tmp_path / "environment")
    fresh.install("--no-deps", "--editable", str(REPOSITORY), "--editable", str(REPOSITORY / "leaderboard"))
    fresh.install("editables")  # what hatchling's editable wheels ask for
    assert fresh.importable() == {
        "lm_eval_dispersion": str(REPOSITORY / "lm_eval_dispersion" / "__init__.py"),
        "dispersion_leaderboard": str(REPOSITORY / "leaderboard" / "dispersion_leaderboard" / "__init__.py"),
    }


def test_the_plugin_is_built_with_python_alone_and_carries_no_page_and_the_leaderboard_carries_its_own(
    wheels: Path, tmp_path: Path
) -> None:
    # Neither npm nor Node.js is to be found, and nothing but the build backend may be fetched.
    alone = str(Path(sys.executable).parent)
    assert not any((Path(alone) / name).exists() for name in ("npm", "node"))
    run(UV, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(REPOSITORY), PATH=alone)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        ours = wheel.namelist()
    assert {"lm_eval_dispersion.pth", "lm_eval_dispersion.start"} < set(ours)
    assert "lm_eval_dispersion/tasks/wiki/dispersion_wiki.yaml" in ours
    assert not any("leaderboard" in name for name in ours)
    with zipfile.ZipFile(next(wheels.glob("dispersion_leaderboard-*.whl"))) as wheel:
        theirs = wheel.namelist()
    assert "dispersion_leaderboard/site/assets/vendor/dataTables.min.js" in theirs
    assert {name.partition("/")[0].partition("-")[0] for name in theirs} == {"dispersion_leaderboard"}
