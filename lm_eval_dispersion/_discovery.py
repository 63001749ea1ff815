"""Makes plain ``lm_eval`` find our tasks, whether lm_eval and we come from a wheel or an editable install.

lm_eval 0.4.13 has no entry points for tasks. Copying YAML into ``lm_eval/tasks`` breaks an editable install
of lm_eval (the copied folder shadows it). So this module is imported when Python starts, by ``lm_eval_dispersion.pth``
or, from 3.15 on, by ``lm_eval_dispersion.start`` (PEP 829), and waits for lm_eval's task manager to be imported. An
lm_eval that reads the entry point group ``lm_eval.tasks`` (its pull request 4015) imports our package for its folder
of tasks, and needs neither file. Nothing of lm_eval, torch or transformers is imported here, and a process that never
loads the task manager runs none of the code below ``find_spec``.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in __init__: no `typing`, `pathlib` or `importlib.abc` in every Python start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_NEEDED = "0.4.13"
_MANAGER = "lm_eval.tasks.manager"
_TASKS = "lm_eval_dispersion.tasks"


def tasks_folder() -> str:
    """The folder of our YAML: inside the package in a wheel, beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    inside = os.path.join(package, "tasks")  # noqa: PTH118
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "tasks")  # noqa: PTH112, PTH118, PTH120


def wait_for_lm_eval() -> None:
    """Hooks lm_eval's task manager, now or as soon as it is imported. More than one call is one hook."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if hasattr(sys.modules.get(_MANAGER), "TaskManager"):
        _hook(sys.modules[_MANAGER])


class _Finder:
    """Finds our folder of tasks as a package, and has lm_eval's task modules hooked once they have run."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _TASKS:  # the entry point's, which in a checkout is not where a package's folder would be
            from importlib.machinery import ModuleSpec

            found = ModuleSpec(fullname, None, is_package=True)
            found.submodule_search_locations = [tasks_folder()]
            return found
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
        _say(f"there is no {_MANAGER}")


def _hook(manager: ModuleType) -> None:
    try:
        from lm_eval_dispersion._task_manager import attach

        attach(manager)
    except (ImportError, AttributeError) as error:  # lm_eval goes on without our tasks
        _say(str(error))


def _say(moved: str) -> None:
    """Why our tasks are not found."""
    from importlib.metadata import version

    from packaging.version import Version

    found = version("lm_eval")
    if Version(found) < Version(_NEEDED):
        line = f"its tasks need lm_eval >= {_NEEDED}, this is {found}; pip install --upgrade 'lm_eval>={_NEEDED}'"
    elif any("dispersion" in argument for argument in sys.argv):  # as far as can be seen from here
        line = f"lm_eval {found} has moved what finds our tasks ({moved}); use lm_eval {_NEEDED} or a newer version"
    else:
        return
    print(f"lm-eval-dispersion: {line}", file=sys.stderr)
