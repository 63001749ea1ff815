"""Runs of lm_eval, read back from the results files that ``--output_path`` left."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.runs._plain import plain

_LONGEST_LINE = 2_000


@dataclass(frozen=True)
class Run:
    """One results file."""

    file: Path
    content: dict[str, Any]
    """As lm_eval wrote it; ``results`` and ``configs`` are objects, the rest may be anything."""

    @property
    def model(self) -> str:
        """A GGUF file's name, or else the model's."""
        config = self.content.get("config")
        arguments = config.get("model_args") if isinstance(config, dict) else None
        file = arguments.get("gguf_file") if isinstance(arguments, dict) else None
        return str(file or self.content.get("model_name") or "?").removesuffix(".gguf")

    def record(self, task: str) -> Any:
        """What was recorded on a task (``record.schema.json``); None where nothing was."""
        config = self.content["configs"][task]
        metadata = config.get("metadata") if isinstance(config, dict) else None
        return metadata.get("dispersion") if isinstance(metadata, dict) else None

    def samples(self, task: str) -> Path | None:
        """A task's logged samples, which lie beside the results; None without ``--log_samples``."""
        # Results are `results_DATE.json`, or `STEM_DATE.json` where --output_path ends in .json; a date has no `_`.
        date = self.file.stem.rpartition("_")[2]
        name = f"samples_{task}_{date}.jsonl"
        return next((file for file in self.file.parent.iterdir() if file.name == name), None)


def find_runs(path: Path, complain: Callable[[str], None]) -> Iterator[Run]:
    """The results files at or below a path, in the order of their names; told by what is in them.

    Args:
        path: one results file, or a folder, which is searched to its bottom.
        complain: called with one line for a file that cannot be read, and one for all other JSON of a folder.
    """
    if not path.is_dir():
        files = [path] if path.exists() else []
    else:
        files = sorted(file for file in path.rglob("*.json") if file.is_file())
    others = 0
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            complain(f"cannot read {file}: {error.strerror}")
        except (ValueError, RecursionError) as error:
            complain(f"{file} is not JSON ({error}); was its run cut off?")
        else:
            if isinstance(content, dict) and all(isinstance(content.get(k), dict) for k in ("results", "configs")):
                yield Run(file, content)
            else:
                others += 1
    if others:
        which = path if not path.is_dir() else f"{others} other JSON file{'s' if others > 1 else ''} below {path}"
        complain(f"{which}: no results file of lm_eval, which has `results` and `configs`")


# Room for two paths.
_LONGEST_LINE = 1000


def complain(line: str) -> None:
    """One line on standard error, for what is skipped."""
    print(f"lm-eval-dispersion: {plain(line, _LONGEST_LINE)}", file=sys.stderr)


def runs_at(paths: Sequence[Path]) -> list[Run]:
    """The runs of all paths that a command was given, each results file once; says what it skips.

    Raises:
        TaskError: for a path that is not there, or where there is no results file at all.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        if not path.exists():
            raise TaskError(f"no file or folder {path}")
        for run in find_runs(path, complain):
            found.setdefault(run.file.resolve(), run)
    if not found:
        below = ", ".join(map(str, paths))
        raise TaskError(f"no results file of lm_eval below {below}; give what --output_path was")
    return list(found.values())
