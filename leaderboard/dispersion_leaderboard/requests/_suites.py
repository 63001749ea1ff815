"""Suites: what a model is evaluated on, by name. Whoever runs the workers says what a name means, never a request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dispersion_leaderboard.yaml_file import read_yaml

SHIPPED = Path(__file__).with_name("suites.yaml")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
_TASK = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Suite:
    """One entry of a YAML file of suites."""

    name: str
    groups: tuple[tuple[str, ...], ...]
    """Tasks by group; a group is one run of lm_eval, and what is saved when a worker is lost."""
    limit: int | None = None
    """Documents a task, for trials; None for all."""
    include_path: str | None = None
    """A folder with tasks of one's own, absolute; no part of the identity, its tasks' versions are lm_eval's affair."""

    @property
    def id(self) -> str:
        """``name@digest``, the digest over tasks and limit."""
        digest = sha256(json.dumps([self.groups, self.limit]).encode()).hexdigest()[:8]
        return f"{self.name}@{digest}"


def group_name(tasks: tuple[str, ...]) -> str:
    """What the folder of a group's results is called."""
    name = "+".join(tasks)
    return name if len(name) <= 100 else f"{name[:90]}-{sha256(name.encode()).hexdigest()[:8]}"


def read_suites(file: Path | None = None) -> dict[str, Suite]:
    """The suites of a YAML file by name, beside the shipped ones, which a suite of the same name replaces.

    Raises:
        SystemExit: for a file that cannot be read or is no file of suites, in one line.
    """
    suites = {suite.name: suite for suite in _read(SHIPPED)}
    return suites | ({suite.name: suite for suite in _read(file)} if file else {})


def _read(file: Path) -> Iterator[Suite]:
    found = read_yaml(file)
    if not isinstance(found, dict) or not found:
        raise SystemExit(f"leaderboard: {file} holds no suites; one is `name: {{tasks: [dispersion_wiki]}}`")
    for name, entry in found.items():
        yield _suite(file, name, entry)


def _suite(file: Path, name: object, entry: object) -> Suite:
    def refuse(why: str) -> SystemExit:
        return SystemExit(f"leaderboard: {file}: suite {name}: {why}")

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refuse("a name has small letters, digits, - and _")
    if not isinstance(entry, dict) or not isinstance(entry.get("tasks"), list) or not entry["tasks"]:
        raise refuse("needs `tasks:`, a list; an item `a,b` runs two tasks in one run of lm_eval")
    if unknown := entry.keys() - {"tasks", "limit", "include_path"}:
        raise refuse(f"knows no {sorted(map(str, unknown))[0]}; it has tasks, limit and include_path")
    groups = tuple(tuple(str(item).replace(" ", "").split(",")) for item in entry["tasks"])
    for task in (task for group in groups for task in group):
        if not _TASK.fullmatch(task):
            raise refuse(f"{task!r} is no task name")
    if len(set(map(group_name, groups))) < len(groups):
        raise refuse("has the same tasks twice")
    limit, include = entry.get("limit"), entry.get("include_path")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise refuse("limit is a number of documents")
    if include is not None:
        folder = (file.parent / str(include)).resolve()
        if not folder.is_dir():
            raise refuse(f"no folder {folder}")
        include = str(folder)
    return Suite(name, groups, limit, include)
