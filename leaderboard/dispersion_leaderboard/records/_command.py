"""The ``lm_eval`` command that runs a results file's evaluation again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from dispersion_leaderboard.records._clean import clean
from dispersion_leaderboard.records._model import Model

# Of a corpus, where nothing else was asked for: tokens of a window, the fewest vectors that have a D, and whose states.
USUAL = {"window": 512, "min_vectors": 64, "layers": "all"}
_SEEDS = {"random_seed": 0, "numpy_seed": 1234, "torch_seed": 1234, "fewshot_seed": 1234}


def command(run: dict[str, Any], model: Model, records: dict[str, dict[str, Any]]) -> str:
    """As far as the results file tells; arguments that may hold a credential or a place are counted in a comment."""
    config = run["config"] if isinstance(run.get("config"), dict) else {}
    words = ["lm_eval", "--model", model.engine or "hf", "--model_args"]
    words += [",".join(f"{key}={value}" for key, value in _pinned(model))]
    words += ["--tasks", ",".join(clean(task) for task in _asked_for(run))]
    given = run.get("n-shot")
    shots = {v for v in given.values() if type(v) is int} if isinstance(given, dict) else set()
    if len(shots) == 1:
        words += ["--num_fewshot", str(*shots)]
    if config.get("batch_size") is not None:
        words += ["--batch_size", clean(config["batch_size"])]
    if (limit := config.get("limit")) is not None and not isinstance(limit, bool):
        words += ["--limit", clean(int(limit) if isinstance(limit, float) and limit.is_integer() else limit)]
    words += _generation(config.get("gen_kwargs"))
    seeds = [config.get(key, default) for key, default in _SEEDS.items()]
    if seeds != list(_SEEDS.values()) and all(seed is None or type(seed) is int for seed in seeds):
        words += ["--seed", ",".join(map(str, seeds))]
    if run.get("chat_template"):
        words += ["--apply_chat_template"]
        # With a template, today's lm_eval does what older ones had to be told to do.
        words += {"True": ["--fewshot_as_multiturn"], "False": ["--fewshot_as_multiturn", "false"]}.get(
            str(run.get("fewshot_as_multiturn")), []
        )
    if clean(run.get("system_instruction")):
        words += ["--system_instruction", clean(run["system_instruction"])]
    options: dict[str, Any] = {}
    for record in records.values():
        corpus = record.get("corpus")
        selection = corpus.get("selection") if isinstance(corpus, dict) else None
        if isinstance(selection, dict):
            options |= {clean(k): v for k, v in selection.items() if type(v) is int}
        options |= _unusual(record.get("definition"))
    if options:
        words += ["--metadata", json.dumps({"dispersion": options})]
    line = shlex.join(words)
    return f"{line}  # {model.hidden_arguments} model argument(s) not shown" if model.hidden_arguments else line


def _unusual(definition: object) -> dict[str, Any]:
    """What was asked for of a task's signals, and of a corpus' definition."""
    if not isinstance(definition, dict):
        return {}
    found: dict[str, Any] = {}
    if definition.get("signals") == "all":
        layers = definition.get("signal_layers")
        found = {"signals": "all"} | ({"signal_layers": layers} if layers == "all" or _are_layers(layers) else {})
    if definition.get("kind") != "corpus":
        return found
    asked = {name: definition.get(name) for name, usual in USUAL.items() if definition.get(name) not in (None, usual)}
    layers = asked.pop("layers", None)
    found |= {"layers": layers} if layers == "last" or _are_layers(layers) else {}
    return found | {name: value for name, value in asked.items() if type(value) is int}


def _are_layers(layers: object) -> bool:
    return isinstance(layers, list) and all(type(layer) is int for layer in layers)


def _generation(given: object) -> list[str]:
    """``--gen_kwargs``: text of lm_eval to 0.4.9, a mapping of later ones."""
    if isinstance(given, str) and given:
        return ["--gen_kwargs", clean(given)]
    if isinstance(given, dict) and given:
        return [
            "--gen_kwargs",
            *(
                clean(f"{k}={v if isinstance(v, str) else json.dumps(v)}")
                for k, v in given.items()
                if not isinstance(v, dict)
            ),
        ]
    return []


def _pinned(model: Model) -> list[tuple[str, str]]:
    """The commit in place of a branch, so that the same weights are run."""
    arguments = [(key, value) for key, value in model.arguments if not (model.on_hub and key == "revision")]
    return [*arguments[:1], ("revision", model.revision), *arguments[1:]] if model.on_hub else arguments


def _asked_for(run: dict[str, Any]) -> list[str]:
    """The tasks and groups that no group of this run brought in."""
    groups = run["group_subtasks"] if isinstance(run.get("group_subtasks"), dict) else {}
    below = {task for tasks in groups.values() if isinstance(tasks, list) for task in tasks if isinstance(task, str)}
    named = dict.fromkeys([*(group for group, tasks in groups.items() if tasks), *run["results"]])
    return [task for task in named if task not in below]
