"""Makes a task of a YAML's ``class:``, and hands it the configuration; looks members up by ``in`` and ``[]``."""

from __future__ import annotations

from typing import Any

from lm_eval_dispersion.seams._look import Moved

STRUCTURE = ("tag", "group", "task_list")
"""What it takes out of a configuration before it makes a task of it."""
INLINE = "inline"
"""What it writes as the metadata's ``config_source`` where no file is known."""


def _look() -> None:
    from lm_eval.tasks._factory import TaskFactory
    from lm_eval.tasks._index import Entry, Kind

    class Ours:
        task_name = "seam"

        def __init__(self, config: dict[str, Any]) -> None:
            self.handed = config

    entry = Entry("seam", Kind.PY_TASK, None, {"task": "seam", "class": Ours, **dict.fromkeys(STRUCTURE, "seam")})
    made = TaskFactory().build(entry, registry={})
    if not isinstance(made, Ours) or made.handed.get("task") != "seam":
        raise Moved("TaskFactory does not hand its configuration to a `class:`")
    if set(STRUCTURE) & set(made.handed) or made.handed["metadata"].get("config_source") != INLINE:
        raise Moved("TaskFactory hands another configuration to a `class:`")

    class Index(dict[str, Entry]):
        def __contains__(self, name: object) -> bool:
            return name == "seam"

        def __missing__(self, name: str) -> Entry:
            return entry

    group = Entry("group", Kind.GROUP, None, {"group": "group", "task": ["seam"]})
    if not all(isinstance(member, Ours) for member in TaskFactory().build(group, registry=Index())):
        raise Moved("TaskFactory does not look the members of a group up in its index by `in` and []")
