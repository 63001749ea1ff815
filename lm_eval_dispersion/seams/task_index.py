"""Where ``wraps:`` and our prefix look a task, group or tag up, and how its YAML is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from lm_eval_dispersion.seams._look import accepts, declares, has

__all__ = ["Entry", "Kind", "configuration", "every_entry", "of_folder"]


def _look() -> None:
    from lm_eval.tasks import TaskManager

    declares(Entry, "name", "kind", "yaml_path", "cfg", "tags")
    has(Kind, "TASK", "PY_TASK", "GROUP", "TAG")
    accepts(TaskIndex.build, 1)
    accepts(load_yaml, 1)
    accepts(TaskManager.__init__, 1, "include_path", "include_defaults")


def configuration(entry: Entry) -> dict[str, Any]:
    """What an entry's YAML says, with functions resolved and includes laid in."""
    return (load_yaml(entry.yaml_path) if entry.yaml_path else entry.cfg) or {}


def of_folder(folder: Path) -> dict[str, Entry]:
    """The tasks, groups and tags of a folder, by name."""
    return TaskIndex.build([folder])


def every_entry() -> dict[str, Entry]:
    """Those that lm_eval and we ship. It takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager()._index
