"""What was found of a checkpoint in the form of lm_eval's results files; docs/screen.md says what each key is."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lm_eval_dispersion import __version__
from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.pages import write_beside
from lm_eval_dispersion.screen._draws import SEED
from lm_eval_dispersion.screen._score import Score
from lm_eval_dispersion.screen._screen import Screened
from lm_eval_dispersion.screen._sets import task_name

VERSION = 1
"""Raised when a number for the same model and tokens changes."""


def record(screened: Screened, set_name: str) -> dict[str, Any]:
    """All there is to say of a checkpoint's G of one token set."""
    score, of, untrained = screened.scores[set_name], screened.checkpoint, screened.untrained
    return {
        "kind": "screen",
        "version": VERSION,
        "set": set_name,
        "seed": SEED,
        "gap": score.gap,
        "within": score.within,
        "between": score.between,
        "stderr_over_tokens": score.left_out.stderr,
        "random": asdict(score.random) if score.random else None,
        "matched": asdict(score.matched) if score.matched else None,
        "tokens": score.tokens,
        "general": score.general,
        "tokens_hash": score.tokens_hash,
        "general_hash": score.general_hash,
        "vocabulary_hash": of.vocabulary.hash,
        "model_type": of.model_type or None,
        "matrix": {
            "tensor": of.matrix.tensor,
            "tied": of.matrix.tied,
            "dtype": of.matrix.dtype,
            "rows": of.matrix.rows,
            "width": of.matrix.width,
            "rows_hash": screened.rows_hash,
        },
        "left_out": {
            "padding_rows": screened.padding_rows,
            "never_trained_of_set": score.untrained,
            "never_trained_of_general": score.untrained_general,
            "never_trained_elsewhere_of_set": score.untrained_elsewhere,
            "never_trained_elsewhere_of_general": score.untrained_elsewhere_general,
            "never_trained_of_sample": untrained.found,
            "sample": untrained.sample,
            "never_trained_about": round(untrained.about),
            "never_trained_low": round(untrained.low),
            "never_trained_high": round(untrained.high),
        },
        "cost": {
            "bytes_read": screened.meter.bytes,
            "checkpoint_bytes": of.size,
            "requests": screened.meter.requests,
            "seconds": screened.seconds,
        },
        "plugin_version": __version__,
    }


def results(screened: Screened) -> dict[str, Any]:
    """A results file's content; a task each token set."""
    of, scores = screened.checkpoint, {task_name(name): (name, score) for name, score in screened.scores.items()}
    gguf_file = of.file if of.file and of.file.endswith(".gguf") else None
    told = {"pretrained": of.pretrained, "gguf_file": gguf_file, "revision": of.revision}
    return {
        "results": {
            task: {"alias": task, "gap,none": s.gap, "gap_stderr,none": "N/A"} for task, (_, s) in scores.items()
        },
        "group_subtasks": {task: [] for task in scores},
        "configs": {
            task: {"task": task, "metadata": {"version": VERSION, "dispersion_screen": record(screened, name)}}
            for task, (name, _) in scores.items()
        },
        "versions": dict.fromkeys(scores, VERSION),
        "n-shot": dict.fromkeys(scores, 0),
        "n-samples": {task: _counts(score) for task, (_, score) in scores.items()},
        "config": {
            "model": "screen",
            "model_args": {key: value for key, value in told.items() if value is not None},
            "model_sha": of.revision or "",
            "model_dtype": of.matrix.dtype,
        },
        "date": time.time(),
        "lm_eval_version": _version("lm_eval"),
        "model_source": "screen",
        "model_name": of.pretrained,
        "model_name_sanitized": _sanitized(of.pretrained),
    }


def write_results(screened: Screened, folder: Path) -> Path:
    """Writes ``folder/MODEL/results_DATE.json``, with MODEL and DATE as lm_eval has them.

    Raises:
        TaskError: where it cannot be written, in one line.
    """
    date = datetime.now().isoformat().replace(":", "-")
    file = folder / _sanitized(screened.checkpoint.pretrained) / f"results_{date}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskError(f"cannot make {file.parent}: {error.strerror}") from None
    write_beside(file, json.dumps(results(screened), indent=2, allow_nan=False) + "\n")
    return file


def _counts(score: Score) -> dict[str, int]:
    return {"original": score.found, "effective": score.tokens}


def _sanitized(name: str) -> str:
    """As lm_eval's ``utils.sanitize_model_name``, which is seconds of import away."""
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
