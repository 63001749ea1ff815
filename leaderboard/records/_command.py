"""The ``lm_eval`` command that runs a results file's evaluation again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from leaderboard.records._clean import clean
from leaderboard.records._model import Model


def command(run: dict[str, Any], model: Model, records: dict[str, dict[str, Any]]) -> str:
    """As far as the results file tells; arguments that may hold a credential or a place are counted in a comment."""
    config = run["config"] if isinstance(run.get("config"), dict) else {}
    words = ["lm_eval", "--model", model.engine or "hf"]
    words += ["--model_args", ",".join(f"{key}={value}" for key, value in _pinned(model))]
    words += ["--tasks", ",".join(clean(task) for task in _asked_for(run))]
    shots = (
        {v for v in (run.get("n-shot") or {}).values() if isinstance(v, int)}
        if isinstance(run.get("n-shot"), dict)
        else set()
    )
    if len(shots) == 1:
        words += ["--num_fewshot", str(*shots)]
    if config.get("batch_size") is not None:
        words += ["--batch_size", clean(config["batch_size"])]
    if isinstance(config.get("limit"), int | float):
        words += ["--limit", f"{config['limit']:g}"]
    if run.get("chat_template"):
        words += ["--apply_chat_template"]
    if run.get("fewshot_as_multiturn") is True:
        words += ["--fewshot_as_multiturn"]
    if run.get("system_instruction"):
        words += ["--system_instruction", clean(run["system_instruction"])]
    options: dict[str, Any] = {}
    for record in records.values():
        corpus = record.get("corpus")
        selection = corpus.get("selection") if isinstance(corpus, dict) else None
        options |= (
            {k: v for k, v in (selection or {}).items() if isinstance(v, int)} if isinstance(selection, dict) else {}
        )
    if options:
        words += ["--metadata", json.dumps({"dispersion": options})]
    line = shlex.join(words)
    return f"{line}  # {model.hidden_arguments} model argument(s) not shown" if model.hidden_arguments else line


def _pinned(model: Model) -> list[tuple[str, str]]:
    """The commit in place of a branch, so that the same weights are run."""
    arguments = [(key, value) for key, value in model.arguments if not (model.on_hub and key == "revision")]
    return [*arguments[:1], ("revision", model.revision), *arguments[1:]] if model.on_hub else arguments


def _asked_for(run: dict[str, Any]) -> list[str]:
    """The tasks and groups that no group of this run brought in."""
    groups = run["group_subtasks"] if isinstance(run.get("group_subtasks"), dict) else {}
    below = {str(t) for tasks in groups.values() if isinstance(tasks, list) for t in tasks}
    return [str(task) for task in run["results"] if task not in below]
