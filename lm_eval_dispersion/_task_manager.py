"""What lm_eval's task manager is given: our folder of tasks, and names with our prefix wherever it takes a name.

lm_eval looks names up in three places: the command line in a list (``match_tasks``), ``load`` in an index
(``_load_spec``), and groups and tags, for their members, in the same index, which ``TaskIndex.build`` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._prefix import METRIC, PREFIX, PrefixIndex, is_pattern, records_dispersion
from lm_eval_dispersion.seams import groups, task_manager

loading_index: ContextVar[PrefixIndex | None] = ContextVar("loading_index", default=None)
"""Of the task manager that is loading a task right now: where ``wraps:`` looks its name up."""

DESCRIBES = ("dataset_path", "custom_dataset")
"""A configuration that has one of these says itself what it is, and not by the name of another."""


def attach(manager: ModuleType) -> None:
    """Hooks the classes of the module ``lm_eval.tasks.manager``; a second call does nothing."""
    index = _with_our_folder(stock=Path(str(manager.__file__)).parent.resolve())
    task_manager.attach(manager, index, _with_prefixed_names, _with_dicts_by_name)


def _with_our_folder(stock: Path) -> Callable[..., Any]:
    """Our YAML comes after lm_eval's own and before the user's, which wins where names are the same."""

    def index(build: Callable[..., Any], paths: Iterable[Path], *args: Any, **kwargs: Any) -> Any:
        asked, ours = list(paths), Path(tasks_folder()).resolve()
        known = [Path(path).resolve() for path in asked]
        # It is there where lm_eval has asked our entry point, or the user has named it: twice would be a warning for
        # every task. An index without lm_eval's own tasks was asked for without ours, too.
        if stock in known and ours not in known:
            asked.insert(known.index(stock) + 1, ours)
        made = build(asked, *args, **kwargs)
        return PrefixIndex(made) if isinstance(made, dict) else made

    return index


def _with_prefixed_names(match: Callable[..., list[str]], manager: Any, task_list: str | list[str]) -> list[str]:
    index = _index_of(manager)
    if index is None:
        return match(manager, task_list)
    found: set[str] = set()
    for name in [task_list] if isinstance(task_list, str) else task_list:
        theirs = match(manager, [name])
        if is_pattern(name):
            found.update(index.matching(name, theirs))
        else:
            found.update(theirs or ([name] if name in index else []))
    return sorted(found)


def _with_dicts_by_name(load: Callable[..., Any], manager: Any, spec: Any, *args: Any, **kwargs: Any) -> Any:
    """lm_eval takes a dict for a whole description; one of ours may be a name, and what is changed about it."""
    index = _index_of(manager)
    token = loading_index.set(index)
    try:
        name = _name_of_ours(spec)
        if index is None or name is None or name not in index:
            return load(manager, spec, *args, **kwargs)
        changes = {key: value for key, value in spec.items() if key not in ("task", "group")}
        built = task_manager.made(manager, name, changes)
        groups.aggregate_also(METRIC, built)
        return built
    finally:
        loading_index.reset(token)


def _name_of_ours(spec: Any) -> str | None:
    """Of a dict with our class or prefix that names a task, group or tag without describing it."""
    if not isinstance(spec, dict) or any(key in spec for key in ("wraps", *DESCRIBES)):
        return None
    name = spec.get("task", spec.get("group"))
    if not isinstance(name, str):
        return None
    return name if records_dispersion(spec) or ("class" not in spec and name.startswith(PREFIX)) else None


def _index_of(manager: Any) -> PrefixIndex | None:
    """None for a task manager that made its index in a way of its own."""
    index = task_manager.index_of(manager)
    if not isinstance(index, PrefixIndex):
        return None
    index.metadata = manager.metadata or {}
    return index
