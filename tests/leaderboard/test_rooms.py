"""The package is a line of rooms: each speaks to the others through their faces alone, and no two need each other."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

NAME = "dispersion_leaderboard"
PACKAGE = Path(__file__).parents[2] / "leaderboard" / NAME


class Import(NamedTuple):
    """One name that a file of a room imports from a room, also in a function or for the types alone."""

    file: Path
    room: str
    of: str
    name: str
    """Below the other room, as ``Entry`` or ``_states.Entry``; empty for the room itself."""

    def __str__(self) -> str:
        return f"{self.file.name} in {self.room} imports {self.of}.{self.name}"


def rooms(package: Path) -> dict[str, Path]:
    """The folders of a package, and the files beside them, each with its face."""
    folders = {face.parent.name: face for face in package.glob("*/__init__.py")}
    return folders | {file.stem: file for file in package.glob("*.py")}


def imports(package: Path) -> Iterator[Import]:
    known = rooms(package)
    for file in sorted(package.rglob("*.py")):
        parts = (NAME, *file.relative_to(package).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in _names(node, parts):
                of, _, rest = name.removeprefix(f"{NAME}.").partition(".")
                if name.startswith(f"{NAME}.") and of in known and of != parts[1]:
                    yield Import(file, parts[1], of, rest)


def _names(node: ast.AST, parts: tuple[str, ...]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = [*parts[: -node.level]] if node.level else []
        return [".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names]
    return []


def exported(face: Path) -> set[str]:
    """What a room's face gives: ``__all__``; of a single file all that is public in it."""
    nodes = ast.parse(face.read_text(encoding="utf-8")).body
    found = [n.value for n in nodes if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    if face.name == "__init__.py":
        return set(ast.literal_eval(found[0]))
    named = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    named |= {ast.unparse(n.targets[0]) for n in nodes if isinstance(n, ast.Assign)}
    return {name for name in named if not name.startswith("_")}


def past_the_face(package: Path) -> list[Import]:
    faces = {room: exported(face) for room, face in rooms(package).items() if not room.startswith("_")}
    # The package's own face is what lies before all rooms.
    return [one for one in imports(package) if one.room != "__init__" and one.name not in faces.get(one.of, ())]


def demand_one_way(package: Path) -> None:
    needs: dict[str, set[str]] = {room: set() for room in rooms(package)}
    for one in imports(package):
        needs[one.room].add(one.of)
    TopologicalSorter(needs).prepare()


def test_rooms_speak_to_each_other_through_their_faces() -> None:
    assert {"store", "requests", "admission", "running", "jobs", "site", "yaml_file"} <= rooms(PACKAGE).keys()
    assert [str(one) for one in past_the_face(PACKAGE)] == []


def test_arrows_between_rooms_run_one_way() -> None:
    demand_one_way(PACKAGE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(PACKAGE, tmp_path / NAME, ignore=lambda _, names: [n for n in names if n == "__pycache__"])


@pytest.mark.parametrize(
    "line",
    [
        f"from {NAME}.requests._states import Entry",
        f"from {NAME}.requests import _states",
        f"from {NAME}.jobs import entry",
        f"import {NAME}.requests._states",
        "from ..requests._states import Entry",
        f"from {NAME}.records import pandas",
        f"from {NAME}._version import __version__",
    ],
)
def test_an_import_past_a_face_is_seen(copy: Path, line: str) -> None:
    file = copy / "site" / "_words.py"
    file.write_text(file.read_text() + f"\n\ndef late() -> None:\n    {line}\n")
    assert [(one.file, one.room) for one in past_the_face(copy)] == [(file, "site")]


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("store", f"from {NAME}.requests import Entry"),
        ("hub", f"if TYPE_CHECKING:\n    from {NAME}.running import Worker"),
        ("requests", f"def late() -> None:\n    from {NAME}.admission import inspect"),
        ("records", f"import {NAME}.site"),
    ],
)
def test_an_arrow_back_is_seen(copy: Path, room: str, line: str) -> None:
    file = copy / room / "__init__.py"
    file.write_text(f"{file.read_text()}\n{line}\n")
    with pytest.raises(CycleError, match=room):
        demand_one_way(copy)


def test_no_face_brings_what_runs_models() -> None:
    names = [f"{NAME}.{room}" for room in rooms(PACKAGE) if not room.startswith("_")]
    code = "import json, sys; [__import__(name) for name in sys.argv[1:]]; print(json.dumps([*sys.modules]))"
    said = subprocess.check_output([sys.executable, "-c", code, *names], cwd=PACKAGE.parent, text=True)
    loaded = set(json.loads(said.splitlines()[-1]))
    assert set(names) <= loaded
    assert {"torch", "transformers", "lm_eval", "ray"} & loaded == set()
