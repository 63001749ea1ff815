"""``doctor``: whether this installation is as the plugin needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import chain

from lm_eval_dispersion._discovery import tasks_folder

_OURS, _LEADERBOARD = "lm-eval-dispersion", "dispersion-leaderboard"
_OK, _WRONG, _NOTE = "ok  ", "FAIL", "-   "
_AGAIN = f"pip install --force-reinstall --no-deps {_OURS}"
# The file that runs the start-up hook (PEP 829).
_HOOK = f"lm_eval_dispersion.{'start' if sys.version_info >= (3, 15) else 'pth'}"
# What plain lm_eval does when it starts, with nothing of ours but the start-up hook.
_PLAIN_LM_EVAL = """
import json, sys
hooked = "lm_eval_dispersion._discovery" in sys.modules
from lm_eval.tasks import TaskManager
manager = TaskManager()
found = {"hooked": hooked, "tasks": [name for name in manager.all_tasks if name.startswith("dispersion")]}
print(json.dumps(found | {"wrapped": manager.match_tasks(["dispersion_arc_easy"])}))
"""


def doctor() -> int:
    """Whether the installation is as the plugin needs it."""
    os.environ.setdefault("VLLM_CONFIGURE_LOGGING", "0")
    # Reads 14,000 files: meanwhile the rest is looked at.
    plain = subprocess.Popen([sys.executable, "-c", _PLAIN_LM_EVAL], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wrong = 0
        for mark, line in chain(_versions(), _seams(), _tasks(plain), _accelerator()):
            print(mark, line, flush=True)
            wrong += mark == _WRONG
    finally:
        plain.kill()
    print(f"{wrong} of these need mending" if wrong else "all is well")
    return 1 if wrong else 0


Line = tuple[str, str]


def _versions() -> Iterator[Line]:
    from packaging.specifiers import SpecifierSet

    from lm_eval_dispersion.seams import LIBRARIES

    yield _OK, f"Python {'.'.join(map(str, sys.version_info[:3]))}"
    yield _OK, f"{_OURS} {_installed(_OURS)}"
    for name, library in LIBRARIES.items():
        found, fix = _installed(name), f"pip install '{name}{library.supported}'"
        if found is None and library.optional:
            yield _NOTE, f"{name}: not installed; `--model hf` works without it"
        elif found is None:
            yield _WRONG, f"{name}: not installed; {fix}"
        elif not SpecifierSet(library.supported).contains(found, prereleases=True):
            yield _WRONG, f"{name} {found}: {library.supported} is supported; {fix}"
        else:
            yield _OK, f"{name} {found} ({library.supported})"
    board = _installed(_LEADERBOARD)
    yield _NOTE, f"{_LEADERBOARD} {board}" if board else f"{_LEADERBOARD}: not installed; measuring works without it"


def _seams() -> Iterator[Line]:
    from lm_eval_dispersion.seams import SEAMS, fix

    for seam in SEAMS:
        if not all(find_spec(library) for library in (seam.library, seam.beside) if library):
            continue
        moved = seam.moved()
        if moved is None:
            yield _OK, f"{seam.library}: {seam.name} ({seam.versions})"
        else:
            yield _WRONG, f"{seam.library}: {seam.name}: {moved}; {fix(seam.library)}"


def _tasks(plain: subprocess.Popen[bytes]) -> Iterator[Line]:
    output, errors = plain.communicate()
    try:
        found = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        said = errors.decode(errors="replace").strip().splitlines() or ["it ended without a word"]
        yield _WRONG, f"plain lm_eval cannot list its tasks: {said[-1]}"
        return
    if found["hooked"]:
        yield _OK, f"{_HOOK} runs when Python starts"
    else:
        yield _WRONG, f"{_HOOK} does not run when Python starts; {_AGAIN}"
    if found["tasks"]:
        others = ", and dispersion_NAME for any other" if found["wrapped"] else ""
        yield _OK, f"plain lm_eval finds {len(found['tasks'])} tasks of ours{others}"
    else:
        yield _WRONG, f"plain lm_eval finds none of our tasks; {_AGAIN}, or lm_eval --include_path {tasks_folder()}"


def _accelerator() -> Iterator[Line]:
    from lm_eval_dispersion.seams import silence

    try:
        import torch
    except (ImportError, OSError) as error:
        yield _WRONG, f"torch cannot be imported: {str(error).splitlines()[0]}"
        return
    with silence():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield _NOTE, f"GPU: {', '.join(names)}" if names else "GPU: none that torch sees; models run on the CPU"


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
