"""Finds our tasks: a folder is added to what it indexes, and it takes names with our prefix."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from lm_eval_dispersion.seams._look import Moved, accepts, has, uses
from lm_eval_dispersion.seams._patch import stand_before


def _look() -> None:
    from lm_eval.tasks.manager import TaskIndex, TaskManager

    has(TaskManager, "_load_spec", "match_tasks", "all_tasks")
    accepts(TaskManager.match_tasks, 2)
    uses(TaskManager.__init__, "build", "_index", "metadata", "_factory")
    uses(TaskManager.load, "_load_spec")
    if not isinstance(TaskIndex.build([]), dict):
        raise Moved("TaskIndex.build makes no dict")


def attach(
    manager: ModuleType, index: Callable[..., Any], match: Callable[..., list[str]], load: Callable[..., Any]
) -> None:
    """Puts functions of ours before lm_eval's, which they take first: for an index of folders, names, what they name.

    It is called in the middle of the import of ``lm_eval.tasks``: nothing but its module ``manager`` is there.
    """
    stand_before(manager.TaskIndex, "build", index)
    stand_before(manager.TaskManager, "match_tasks", match)
    stand_before(manager.TaskManager, "_load_spec", load)


def index_of(manager: Any) -> Any:
    """What ``index`` gave for a task manager."""
    return getattr(manager, "_index", None)


def made(manager: Any, name: str, changes: dict[str, Any]) -> Any:
    """A task, group or the tasks of a tag, of a task manager's index, with keys laid over its configuration."""
    return manager._factory.build(manager._index[name], overrides=changes, registry=manager._index)
