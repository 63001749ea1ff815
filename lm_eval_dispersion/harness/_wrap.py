"""``wraps: NAME``: the configuration of another lm_eval task, found where lm_eval finds it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask, Task

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion._prefix import PREFIX, records_dispersion
from lm_eval_dispersion._task_manager import DESCRIBES, loading_index
from lm_eval_dispersion.seams.task_factory import INLINE, STRUCTURE
from lm_eval_dispersion.seams.task_index import Entry, Kind, configuration, every_entry, of_folder


def stock_task(config: dict[str, Any]) -> tuple[type[Task], dict[str, Any]]:
    """The task class and the configuration that stand behind one of ours.

    Args:
        config: as lm_eval hands it to a ``class:``, with functions resolved.

    Returns:
        For ``wraps:``, or the name of a task of lm_eval that was given our class, that task's class and
        configuration, with our own keys laid over it and its metadata (version included) kept; otherwise
        ``ConfigurableTask`` and the configuration itself.

    Raises:
        TaskError: for a name that is no task, or one that cannot be wrapped.
    """
    own = {key: value for key, value in config.items() if key not in ("class", "wraps")}
    entry = _find(str(config["wraps"]), own) if "wraps" in config else _namesake(own)
    if entry is None:
        return ConfigurableTask, own
    wrapped = {key: value for key, value in deepcopy(configuration(entry)).items() if key not in STRUCTURE}
    base = wrapped.pop("class", ConfigurableTask)
    if not isinstance(base, type) or not issubclass(base, Task):
        what = getattr(base, "__qualname__", type(base).__qualname__)
        raise TaskError(
            f"{own['task']}: {entry.name} cannot be wrapped: its `class: {what}` is no class of lm_eval's Task"
        )
    metadata = _metadata(wrapped) | {"wraps": entry.name} | _metadata(own)
    if metadata.get("config_source") == INLINE and entry.yaml_path:
        metadata["config_source"] = str(entry.yaml_path)
    return base, {**wrapped, **own, "metadata": metadata}


def _metadata(config: dict[str, Any]) -> dict[str, Any]:
    metadata = config.get("metadata") or {}
    return metadata if isinstance(metadata, dict) else {"_metadata": metadata}


def _find(name: str, config: dict[str, Any]) -> Entry:
    task = config["task"]
    index = loading_index.get() or every_entry()  # built by hand, outside a task manager
    entry = index.get(name)
    source = Path(str(_metadata(config).get("config_source", INLINE)))
    if entry is None and source.is_file():
        entry = of_folder(source.parent).get(name)
    if entry is None:
        raise TaskError(
            f"{task}: `wraps: {name}` names no task of lm_eval, of the folder of {task}'s YAML or of "
            "--include_path; `lm_eval ls tasks` lists the names"
        )
    if entry.kind not in (Kind.TASK, Kind.PY_TASK):
        members = ", ".join(_members(entry)[:3])
        raise TaskError(
            f"{task}: `wraps: {name}` is a group or tag; ask for {PREFIX}{name}, or wrap its tasks one by one "
            f"({members}, ...)"
        )
    if records_dispersion(entry.cfg):
        raise TaskError(f"{task}: `wraps: {name}` records dispersion already; wrap a task of lm_eval's")
    return entry


def _namesake(config: dict[str, Any]) -> Entry | None:
    """The task of lm_eval that a configuration is itself, by its name: in a group's YAML, or a dict in Python.

    Raises:
        TaskError: where neither a task of that name is there nor a description.
    """
    described = any(key in config for key in DESCRIBES)
    if described and loading_index.get() is None:
        return None  # built by hand, whose index would take seconds
    name = config["task"]
    entry = (loading_index.get() or every_entry()).get(name)
    if entry is None or entry.kind not in (Kind.TASK, Kind.PY_TASK) or records_dispersion(entry.cfg):
        if described or entry is not None:
            return None
        raise TaskError(
            f"{name}: names no task of lm_eval or of --include_path, and describes none ({' or '.join(DESCRIBES)})"
        )
    # Another description may bear the name of a task of lm_eval's.
    same = _metadata(config).get("config_source", INLINE) == str(entry.yaml_path)
    return entry if same or not described else None


def _members(entry: Entry) -> list[str]:
    listed = entry.tags if entry.kind == Kind.TAG else (entry.cfg or {}).get("task", ())
    return sorted(
        str(item.get("task") or item.get("group")) if isinstance(item, dict) else str(item) for item in listed
    )
