"""Makes plain ``lm_eval`` find our tasks, whether lm_eval and we come from a wheel or an editable install.

lm_eval 0.4.13 has no entry points for tasks. Copying YAML into ``lm_eval/tasks`` breaks an editable install
of lm_eval (the copied folder shadows it), so ``lm_eval_dispersion.pth`` imports this module at start-up and
it waits for lm_eval's task manager to be imported. Nothing of lm_eval, torch or transformers is imported
here, and a process that never loads the task manager runs none of the code below ``find_spec``.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar

TYPE_CHECKING = False  # as in __init__: no `typing`, `pathlib` or `importlib.abc` in every Python start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_NEEDED = "0.4.13"
_MANAGER = "lm_eval.tasks.manager"

# The index of the task manager that is loading a task right now: where `wraps:` looks its name up.
loading_index: ContextVar[dict[str, Any] | None] = ContextVar("loading_index", default=None)


def tasks_folder() -> str:
    """The folder of our YAML: inside the package in a wheel, beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    inside = os.path.join(package, "tasks")  # noqa: PTH118
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "tasks")  # noqa: PTH112, PTH118, PTH120


class _TaskManagerFinder:
    """Lets the usual finders find lm_eval's task modules and hooks them after they have run."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (_MANAGER, "lm_eval.tasks") or self._searching:
            return None
        from importlib.util import find_spec

        self._searching = True
        try:
            spec = find_spec(fullname)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            after = _hook if fullname == _MANAGER else _require_manager
            spec.loader = _HookedLoader(spec.loader, after)  # type: ignore[assignment]
        return spec


class _HookedLoader:
    """Runs ``after(module)`` once the module itself has run; otherwise the loader it stands for."""

    def __init__(self, loader: Any, after: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._after(module)


def _require_manager(_: ModuleType) -> None:
    if _MANAGER not in sys.modules:
        _say_what_is_needed()


def _say_what_is_needed() -> None:
    from importlib.metadata import version

    print(
        f"lm-eval-dispersion: its tasks need lm_eval >= {_NEEDED}, this is {version('lm_eval')}; "
        f"pip install --upgrade 'lm_eval>={_NEEDED}'",
        file=sys.stderr,
    )


def _hook(manager: ModuleType) -> None:
    """Adds our folder to what a ``TaskManager`` indexes, between lm_eval's own tasks and the user's paths."""
    cls = getattr(manager, "TaskManager", None)
    if cls is None or not hasattr(cls, "_load_spec"):
        _say_what_is_needed()
        return
    from functools import wraps
    from inspect import signature as signature_of
    from pathlib import Path

    init, load_spec = cls.__init__, cls._load_spec
    signature = signature_of(init)

    @wraps(init)
    def with_our_tasks(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        asked = bound.arguments.get("include_path")
        if bound.arguments.get("include_defaults", True):
            theirs = [] if not asked else list(asked) if isinstance(asked, (list, tuple)) else [asked]
            bound.arguments["include_path"] = [Path(tasks_folder()), *theirs]
        init(*bound.args, **bound.kwargs)
        self.include_path = asked

    @wraps(load_spec)
    def remembering_the_index(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = loading_index.set(self.task_index)
        try:
            return load_spec(self, *args, **kwargs)
        finally:
            loading_index.reset(token)

    cls.__init__, cls._load_spec = with_our_tasks, remembering_the_index


if not any(isinstance(finder, _TaskManagerFinder) for finder in sys.meta_path):
    sys.meta_path.insert(0, _TaskManagerFinder())
