"""Plain lm_eval finds our tasks however it and we were installed, and is itself again once we are gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path

import lm_eval
import pytest

REPOSITORY = Path(__file__).parents[2]

LIST_OURS = """
from lm_eval.tasks import TaskManager
import lm_eval, lm_eval_dispersion, json
manager = TaskManager()
names = manager.all_tasks
print(json.dumps({
    "ours": sorted(n for n in names if n.startswith("dispersion")), "stock": len(names),
    "wrapped": manager.match_tasks(["dispersion_arc_easy", "dispersion_mmlu"]),
    "lm_eval": lm_eval.__file__, "package": lm_eval_dispersion.__file__,
}))
"""
WRAPPED = ["dispersion_arc_easy", "dispersion_mmlu"]
# The lines of lm_eval's task manager between which one that takes tasks from plugins (its pull request 4015) has more.
DEFAULTS = "            all_paths.append(Path(__file__).parent)\n"
PLUGINS = """
            from importlib.metadata import entry_points
            from importlib.util import find_spec

            for point in entry_points(group="lm_eval.tasks"):
                all_paths.append(Path(find_spec(point.value).submodule_search_locations[0]))
"""
SOMETHING_STOCK = """
from lm_eval.tasks import TaskManager
manager = TaskManager()
index = {name: str(entry.yaml_path) for name, entry in manager.task_index.items()}
import hashlib, json
print(json.dumps({"names": len(index), "hash": hashlib.sha256(json.dumps(index).encode()).hexdigest()}))
"""


class Environment:
    """A fresh virtual environment that borrows the heavy dependencies of the one the tests run in."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"
        self.site = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
        borrowed = folder / "borrowed"
        borrowed.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not entry.name.lower().startswith(("lm_eval", "lm-eval", "_editable_impl_lm_eval")):
                (borrowed / entry.name).symlink_to(entry)
        # A folder named in a .pth does not have its own .pth files read.
        (self.site / "borrowed.pth").write_text(f"{borrowed}\n")

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
        done = subprocess.run(
            [str(self.python), *args], capture_output=True, text=True, cwd=self.python.parent, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done

    def pip(self, *args: str) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", "--quiet", *args)

    def json(self, code: str) -> dict[str, object]:
        return dict(json.loads(self.run("-c", code).stdout.splitlines()[-1]))


def _linked(source: str, target: str) -> None:
    """A hard link to one of lm_eval's many files, or a copy on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A checkout of lm_eval and of ours, and a wheel of each, as pip takes them."""
    folder = tmp_path_factory.mktemp("sources")
    theirs, ours, wheels = folder / "lm-evaluation-harness", folder / "ours", folder / "wheels"
    # Not one symbolic link: pip would follow it, and take all that lies beside lm_eval with it.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(lm_eval.__file__).parent, theirs / "lm_eval", ignore=ignored, copy_function=_linked)
    (theirs / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=64"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "lm_eval"\nversion = "{lm_eval.__version__}"\n'
        '[project.scripts]\nlm_eval = "lm_eval.__main__:cli_evaluate"\n'
        '[tool.setuptools.packages.find]\ninclude = ["lm_eval*"]\n'
    )
    for name in ("lm_eval_dispersion", "tasks"):
        shutil.copytree(REPOSITORY / name, ours / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "lm_eval_dispersion.pth", "lm_eval_dispersion.start", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, ours / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(wheels), str(ours)], check=True
    )
    (our_wheel,) = wheels.glob("*.whl")
    return {
        "lm_eval tree": str(theirs),
        "our tree": str(ours),
        "lm_eval wheel": f"lm_eval=={lm_eval.__version__}",
        "our wheel": str(our_wheel),
    }


@pytest.mark.slow
@pytest.mark.parametrize("theirs", ["wheel", "tree"])
@pytest.mark.parametrize("ours", ["wheel", "tree"])
def test_tasks_are_found_and_uninstalling_leaves_lm_eval_as_it_was(
    theirs: str, ours: str, sources: dict[str, str], tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment")
    for kind, tree in (("lm_eval", theirs), ("our", ours)):
        editable = ["--editable"] if tree == "tree" else []
        environment.pip("install", "--no-deps", *editable, sources[f"{kind} {tree}"])
        if editable and kind == "our":
            environment.pip("install", "editables")  # what hatchling's editable wheel asks for
        if kind == "lm_eval":
            before = environment.json(SOMETHING_STOCK)

    found = environment.json(LIST_OURS)
    shipped = {path.stem for path in (REPOSITORY / "tasks").rglob("dispersion_*.yaml") if not path.stem.startswith("_")}
    assert shipped <= set(found["ours"])  # type: ignore[arg-type]
    assert found["wrapped"] == WRAPPED
    assert {path.name for path in environment.site.glob("lm_eval_dispersion.*")} == {
        "lm_eval_dispersion.pth",
        "lm_eval_dispersion.start",
    }
    in_tree = {"tree": sources["our tree"], "wheel": str(environment.site)}[ours]
    assert str(found["package"]).startswith(in_tree)
    in_tree = {"tree": sources["lm_eval tree"], "wheel": str(environment.site)}[theirs]
    assert str(found["lm_eval"]).startswith(in_tree)
    if (theirs, ours) == ("tree", "wheel"):
        listed = environment.run("-m", "lm_eval", "ls", "tasks").stdout
        assert "dispersion_wiki" in listed and "arc_challenge" in listed

    environment.pip("uninstall", "--yes", "lm-eval-dispersion")
    assert environment.json(SOMETHING_STOCK) == before
    assert not list(environment.site.glob("*dispersion*"))


@pytest.mark.slow
@pytest.mark.parametrize("ours", ["wheel", "tree"])
def test_an_lm_eval_that_takes_tasks_from_plugins_finds_them_once_and_without_a_start_up_file(
    ours: str, sources: dict[str, str], tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment")
    environment.pip("install", "--no-deps", sources["lm_eval wheel"])
    environment.pip("install", "--no-deps", *(["--editable"] if ours == "tree" else []), sources[f"our {ours}"])
    environment.pip("install", "editables")
    manager = environment.site / "lm_eval" / "tasks" / "manager.py"
    code = manager.read_text()
    assert code.count(DEFAULTS) == 1
    manager.unlink()  # it may be shared with pip's cache
    manager.write_text(code.replace(DEFAULTS, DEFAULTS + PLUGINS))
    shipped = {path.stem for path in (REPOSITORY / "tasks").rglob("dispersion*.yaml")}
    for hooked in (True, False):
        found = environment.json(LIST_OURS)
        assert (set(found["ours"]), found["wrapped"]) == (shipped, WRAPPED)  # type: ignore[call-overload]
        assert "overrides existing task" not in environment.run("-m", "lm_eval", "ls", "groups").stderr
        if hooked:
            for file in environment.site.glob("lm_eval_dispersion.*"):
                file.unlink()


def test_the_entry_point_for_tasks_gives_the_folder_that_the_command_prints() -> None:
    (point,) = (point for point in entry_points(group="lm_eval.tasks") if "lm_eval_dispersion" in point.value)
    package = find_spec(point.value)
    assert package and package.submodule_search_locations
    (folder,) = package.submodule_search_locations
    command = [sys.executable, "-m", "lm_eval_dispersion", "tasks"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout == f"{folder}\n" and printed.stderr == ""
    assert (Path(folder) / "wiki" / "dispersion_wiki.yaml").is_file()


def test_both_files_for_the_start_of_python_are_installed_and_run_together_are_one_hook(old_lm_eval: Path) -> None:
    files = {file.name: file for file in distribution("lm-eval-dispersion").files or () if len(file.parts) == 1}
    pth, start = (files[f"lm_eval_dispersion.{kind}"].read_text() for kind in ("pth", "start"))
    # From Python 3.15 on, `site` resolves each line of a .start and calls what it finds (PEP 829).
    code = f"""
from pkgutil import resolve_name
for line in {start!r}.splitlines():
    resolve_name(line)()
for line in {pth!r}.splitlines():
    exec(line)
import lm_eval.tasks
"""
    path = os.pathsep.join((str(old_lm_eval), sysconfig.get_path("purelib")))
    command = [sys.executable, "-S", "-c", code]  # where neither has been run by itself
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 1 and "need lm_eval >= 0.4.13" in done.stderr


@pytest.fixture
def old_lm_eval(tmp_path: Path) -> Path:
    """A folder that holds an lm_eval from before the task manager."""
    package = tmp_path / "lm_eval"
    (package / "tasks").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tasks" / "__init__.py").write_text("TASKS = 3\n")
    (tmp_path / "lm_eval-0.4.7.dist-info").mkdir()
    (tmp_path / "lm_eval-0.4.7.dist-info" / "METADATA").write_text("Name: lm_eval\nVersion: 0.4.7\n")
    return tmp_path


def test_an_lm_eval_without_a_task_manager_gets_one_line_naming_what_is_needed(old_lm_eval: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lm_eval.tasks; print(lm_eval.tasks.TASKS)"],
        env=os.environ | {"PYTHONPATH": str(old_lm_eval)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "3\n", done.stderr  # lm_eval itself is left alone
    assert done.stderr.splitlines() == [
        "lm-eval-dispersion: its tasks need lm_eval >= 0.4.13, this is 0.4.7; pip install --upgrade 'lm_eval>=0.4.13'"
    ]


@pytest.fixture
def lm_eval_of_tomorrow(old_lm_eval: Path) -> Path:
    """One whose task manager has nothing in it that we know."""
    (old_lm_eval / "lm_eval-0.4.7.dist-info").rename(old_lm_eval / "lm_eval-0.9.0.dist-info")
    (old_lm_eval / "lm_eval-0.9.0.dist-info" / "METADATA").write_text("Name: lm_eval\nVersion: 0.9.0\n")
    (old_lm_eval / "lm_eval" / "tasks" / "manager.py").write_text("class TaskManager: ...\n")
    (old_lm_eval / "lm_eval" / "tasks" / "__init__.py").write_text("from .manager import TaskManager\n")
    return old_lm_eval


def test_a_task_manager_that_has_moved_is_one_line_for_those_who_ask_for_a_task_of_ours(
    lm_eval_of_tomorrow: Path,
) -> None:
    code = "from lm_eval.tasks import TaskManager; print(TaskManager.__name__)"
    said = {}
    for asked in ("arc_easy", "dispersion_arc_easy"):
        done = subprocess.run(
            [sys.executable, "-c", code, "--tasks", asked],
            env=os.environ | {"PYTHONPATH": str(lm_eval_of_tomorrow)},
            capture_output=True,
            text=True,
        )
        assert done.stdout == "TaskManager\n", done.stderr  # lm_eval itself is left alone
        said[asked] = done.stderr.splitlines()
    assert said["arc_easy"] == []
    (line,) = said["dispersion_arc_easy"]
    assert line.startswith("lm-eval-dispersion: lm_eval 0.9.0 has moved what finds our tasks (")
    assert line.endswith("; use lm_eval 0.4.13 or a newer version")


def test_a_python_that_does_not_use_lm_eval_loads_nothing_of_it_and_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; print([m for m in ('torch', 'transformers', 'lm_eval', 'typing', 'pathlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout and "lm_eval'" not in done.stdout
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print('lm_eval_dispersion._discovery' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "True\n"  # so the assertion above is about an environment with the hook in it
