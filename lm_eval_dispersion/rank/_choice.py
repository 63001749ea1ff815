"""Which run and which task of it are ranked, where a path holds several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.runs import Run, complain, plain, runs_at

_LISTED = 8


@dataclass(frozen=True)
class Choice:
    """What is ranked."""

    run: Run
    name: str
    """As it was asked for: a task's, or a group's."""
    tasks: list[str]
    """The task, or those of the group."""
    samples: list[Path]
    """Of each task."""

    def delimiter(self, task: str) -> str:
        """What the task puts between a prompt and a choice."""
        config = self.run.content["configs"].get(task)
        found = config.get("target_delimiter") if isinstance(config, dict) else None
        return found if isinstance(found, str) else " "


def choose(path: Path, task: str | None) -> Choice:
    """The newest run at a path with logged samples of a task; says what else there was.

    Args:
        path: a results file, or a folder with some.
        task: a task or a group; None for the run's first task with a record, or else its first.

    Raises:
        TaskError: where there is none, or a group's tasks were measured by several definitions.
    """
    runs = runs_at([path])
    with_task = [run for run in runs if task is None or _members(run, task)]
    if not with_task:
        there = sorted({name for run in runs for name in run.content["configs"]})
        raise TaskError(f"no task {plain(task)} at {path}; there is {_listed(there)}")
    logged = [run for run in with_task if _logged(run, task)]
    if not logged:
        of = f" of {plain(task)}" if task else ""
        raise TaskError(f"no samples{of} beside {with_task[-1].file}; run lm_eval again with --log_samples")
    run = max(logged, key=_date)
    tasks = _logged(run, task)
    if task is None:
        others, tasks = tasks, [next((name for name in tasks if run.record(name) is not None), tasks[0])]
        if len(others) > 1:
            rest = _listed([*_groups(run), *(name for name in others if name != tasks[0])])
            complain(f"the run has {len(others)} tasks; ranking {tasks[0]}, and --task ranks another one: {rest}")
    if len(logged) > 1:
        mixed = len({_definition(one, name) for one in logged for name in tasks if name in one.content["configs"]}) > 1
        which = f"{len(logged)} runs at {path}{', measured by different definitions' if mixed else ''}"
        complain(f"{which}; ranking the newest, {run.file.name}")
    if len({_definition(run, name) for name in tasks}) > 1:
        which = f"the tasks of {plain(task)} were measured by different definitions"
        raise TaskError(f"{which}; rank one: {_listed(tasks)}")
    samples = [file for name in tasks if (file := run.samples(name))]
    return Choice(run, plain(task or tasks[0]), tasks, samples)


def _logged(run: Run, task: str | None) -> list[str]:
    """The tasks that are asked for, if their samples are there; all that have samples, where none is asked for."""
    if task is None:
        return [name for name in run.content["configs"] if run.samples(name)]
    members = _members(run, task)
    return members if all(run.samples(name) for name in members) else []


def _members(run: Run, name: str) -> list[str]:
    """A task itself, or the tasks of a group, which may be of groups."""
    groups = _groups(run)
    found: dict[str, None] = {}
    seen: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop(0)
        if one in run.content["configs"]:
            found[one] = None
        elif one not in seen and isinstance(groups.get(one), list):
            todo += map(str, groups[one])
        seen.add(one)
    return list(found)


def _groups(run: Run) -> dict[str, Any]:
    """The names of each group's tasks and groups."""
    subtasks = run.content.get("group_subtasks")
    return subtasks if isinstance(subtasks, dict) else {}


def _date(run: Run) -> str:
    """As in the names that lm_eval gives, in which later dates are greater."""
    return run.file.stem.rpartition("_")[2]


def _definition(run: Run, task: str) -> str:
    record: Any = run.record(task)
    return json.dumps(record.get("definition") if isinstance(record, dict) else None, sort_keys=True)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(plain, names[:_LISTED])) + more
