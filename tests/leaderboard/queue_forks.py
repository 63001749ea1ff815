"""lm_eval in forks of one process that has imported it: the import is most of a small run, and the same each time.

For runs whose start, limits and environment are not what is asked about; those have a process of their own.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from dispersion_leaderboard.running._child import Ended

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["lm_eval.__main__", "lm_eval.models.huggingface", "lm_eval_dispersion.harness"])


def run(command: list[str], *, cwd: Path, environment: Mapping[str, str], **_: object) -> Ended:
    """In place of ``queue._child.run``: the script of the command, to its end."""
    with TemporaryDirectory() as folder:
        printed = Path(folder) / "printed"
        process = _FORKS.Process(target=_script, args=(command, cwd, dict(environment), printed))
        process.start()
        process.join()
        assert process.exitcode is not None
        return Ended(process.exitcode, "itself", printed.read_text(encoding="utf-8", errors="replace"))


def _script(command: list[str], cwd: Path, environment: dict[str, str], printed: Path) -> None:
    with printed.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
