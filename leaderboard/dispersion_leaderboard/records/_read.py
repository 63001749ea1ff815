"""One results file of lm_eval to tidy rows, whoever wrote it: 0.4.5 to today, with or without our tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from dispersion_leaderboard.records._clean import clean
from dispersion_leaderboard.records._command import USUAL, command
from dispersion_leaderboard.records._model import CONFIGURATION, Model, read_model
from dispersion_leaderboard.records._screens import of_screen, screened
from dispersion_leaderboard.records._signals import read_signals, signals_of_group
from dispersion_leaderboard.records._values import integer, is_number, mapping, number

LARGEST = 64 * 2**20
"""Bytes of a results file. Those of 57 subjects with every layer of a large model take 2 MB."""

_DEEPEST_PROFILE = 1_000
_MOST_METRICS = 50_000

Row = dict[str, Any]


class BadFile(Exception):
    """Why a file is skipped, in a few words."""


def read_rows(file: Path, name: str) -> list[Row]:
    """The rows of a results file, one a metric.

    Args:
        file: where it lies.
        name: what it is called in the table; fit to be shown.

    Raises:
        BadFile: where it is no results file of lm_eval that can be read.
    """
    try:
        rows = list(islice(_rows(_load(file), name), _MOST_METRICS + 1))
        if len(rows) > _MOST_METRICS:
            raise BadFile(f"more than {_MOST_METRICS:,} metrics")
        if not rows:
            raise BadFile("no number in its results")
        return rows
    except BadFile:
        raise
    except Exception as error:
        # The file may be anything, and the next one is waiting: whatever it broke is its own fault.
        raise BadFile(f"not understood ({type(error).__name__})") from error


def _load(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file():
            raise BadFile("not a regular file")
        if file.stat().st_size > LARGEST:
            raise BadFile(f"larger than {LARGEST // 2**20} MiB")
        run = json.loads(file.read_bytes())
    except OSError as error:
        raise BadFile(error.strerror or "cannot be read") from error
    except RecursionError as error:
        raise BadFile("nested too deeply") from error
    except ValueError as error:
        raise BadFile("broken or truncated JSON") from error
    if (
        not isinstance(run, dict)
        or not isinstance(run.get("results"), dict)
        or not isinstance(run.get("configs"), dict)
    ):
        raise BadFile("not written by lm_eval (no results and configs)")
    return run


def _rows(run: dict[str, Any], name: str) -> Iterator[Row]:
    records = {task: _record(config) for task, config in run["configs"].items()}
    model = read_model(run, next((r for r in records.values() if r), {}))
    shared = _of_run(run, model) | {"source": name, "command": command(run, model, records)}
    parents = _parents(run)
    for task, values in run["results"].items():
        if not isinstance(values, dict):
            continue
        config, record = run["configs"].get(task), records.get(task, {})
        of_task = shared | _of_task(run, task, record) | {"parent": clean(parents.get(task)), "signal": False}
        if (screen := screened(config)) is not None:
            of_task |= of_screen(task, screen, model)
        of_task["record"] = _hash(of_task, _IDENTITY)
        better = mapping(mapping(run.get("higher_is_better")).get(task))
        for key, value in values.items():
            metric, comma, kept = key.partition(",")
            if not comma or metric.endswith("_stderr") or not is_number(value):
                continue
            row = of_task | {
                "metric": clean(metric),
                "filter": clean(kept),
                "value": float(value),
                "stderr": number(values.get(f"{metric}_stderr,{kept}")),
                "higher_is_better": better.get(metric) if isinstance(better.get(metric), bool) else None,
            }
            row.setdefault("how", f"lm_eval {shared['lm_eval']}".strip())
            if screen is not None and metric == "gap" and row["stderr"] is None:
                row["stderr"] = number(screen.get("stderr_over_tokens"))
            if metric.startswith("dispersion") and record:
                row["how"] = f"definition {row['definition']}"
                if metric == "dispersion":
                    row |= _profile(record) | {
                        "how": f"{row['how']}: {clean(mapping(record['definition']).get('headline'))}"
                    }
            yield row
        if screen is None:
            yield from (
                of_task | {"signal": True, "filter": ""} | of_signal for of_signal in _signals(run, task, records)
            )


def _signals(run: dict[str, Any], task: str, records: dict[str, dict[str, Any]]) -> Iterator[Row]:
    """Of a task by its record; of a group by those of its tasks."""
    if record := records.get(task, {}):
        return read_signals(record, _definition(record))
    if task in run["configs"]:
        return iter(())
    return signals_of_group([records.get(leaf, {}) for leaf in _leaves(run, task)])


_IDENTITY = (*CONFIGURATION, "task", "version", "n_shot", "definition", "corpus_hash")


def _of_run(run: dict[str, Any], model: Model) -> Row:
    row: Row = {
        "model": model.name,
        "on_hub": model.on_hub,
        "revision": model.revision,
        "gguf_file": model.gguf_file,
        "peft": model.peft,
        "dtype": model.dtype,
        "quantisation": model.quantisation,
        "engine": model.engine,
        "parameters": model.parameters,
        "model_type": model.model_type,
        "tokenizer": model.tokenizer,
        "chat_template": _digest(run.get("chat_template"), run.get("chat_template_sha")),
        "system_prompt": _digest(run.get("system_instruction"), run.get("system_instruction_sha")),
        "device": clean(mapping(run.get("config")).get("device")),
        "lm_eval": clean(run.get("lm_eval_version")),
        "transformers": clean(run.get("transformers_version")),
        "date": _date(run.get("date")),
    }
    return row | {"entry": _hash(row, CONFIGURATION)}


def _record(config: object) -> dict[str, Any]:
    """What our tasks wrote; in other tasks' metadata ``--metadata`` leaves its options under the same name."""
    record = mapping(mapping(mapping(config).get("metadata")).get("dispersion"))
    return record if isinstance(record.get("definition"), dict) else {}


def _of_task(run: dict[str, Any], task: str, record: dict[str, Any]) -> Row:
    config, corpus = mapping(run["configs"].get(task)), mapping(record.get("corpus"))
    leaves = _leaves(run, task)
    samples = [mapping(mapping(run.get("n-samples")).get(leaf)) for leaf in leaves]
    n, n_original = _total(samples, "effective"), _total(samples, "original")
    return {
        "task": clean(task),
        "base_task": clean(record.get("base_task")),
        "group": task not in run["configs"],
        "version": clean(mapping(run.get("versions")).get(task)),
        "task_hash": clean(mapping(run.get("task_hashes")).get(task))[:64],
        "n_shot": _shots(run, task, leaves),
        "n": n,
        "n_original": n_original,
        # --samples leaves documents out, too, and says so nowhere else.
        "limited": mapping(run.get("config")).get("limit") is not None or (n or 0) < (n_original or 0),
        "choices": _choices(config),
        "kind": clean(mapping(record.get("definition")).get("kind")),
        "definition": _definition(record),
        "corpus": clean(corpus.get("name")),
        "corpus_hash": clean(corpus.get("hash"))[:64],
        "plugin": clean(record.get("plugin_version")),
    }


def _definition(record: dict[str, Any]) -> str:
    """What D has to have in common to be comparable: the version and, for a corpus, windows other than the usual ones.

    Earlier records say the window beside their definition.
    """
    definition = mapping(record.get("definition"))
    version = integer(definition.get("version"))
    told = [] if version is None else [str(version)]
    if definition.get("kind") == "corpus":
        window = integer(definition.get("window", record.get("window")))
        least = integer(definition.get("min_vectors"))
        told += [f"windows of {window}"] if window not in (None, USUAL["window"]) else []
        told += [f"of at least {least} vectors"] if least not in (None, USUAL["min_vectors"]) else []
    return ", ".join(told)


def _parents(run: dict[str, Any]) -> dict[str, str]:
    """The first group that names a task."""
    parents: dict[str, str] = {}
    for group, below in mapping(run.get("group_subtasks")).items():
        for task in below if isinstance(below, list) else []:
            if isinstance(task, str):
                parents.setdefault(task, group)
    return parents


def _leaves(run: dict[str, Any], task: str) -> list[str]:
    """The tasks below a group, each once, however the groups name each other."""
    groups = mapping(run.get("group_subtasks"))
    seen, waiting, leaves = {task}, [task], []
    while waiting:
        below = groups.get(waiting[-1])
        if isinstance(below, list) and below:
            waiting.pop()
            new = {t for t in below if isinstance(t, str)} - seen
            seen |= new
            waiting += new
        else:
            leaves.append(waiting.pop())
    return leaves


def _profile(record: dict[str, Any]) -> Row:
    within = mapping(record.get("within"))
    mean, stderr = within.get("mean"), within.get("stderr")
    if not isinstance(mean, list) or not 0 < len(mean) <= _DEEPEST_PROFILE:
        return {}
    every = list(range(len(mean)))
    if record.get("layers", every) != every:
        return {}  # vLLM may show the last hidden state alone, which is no profile
    errors = stderr if isinstance(stderr, list) and len(stderr) == len(mean) else [None] * len(mean)
    return {"profile": [number(v) for v in mean], "profile_stderr": [number(v) for v in errors]}


def _shots(run: dict[str, Any], task: str, leaves: list[str]) -> int | None:
    """lm_eval to 0.4.8 says nothing of a group, so that of its tasks where they agree."""
    told = mapping(run.get("n-shot"))
    if task in told:
        return integer(told[task])
    of_leaves = {integer(told.get(leaf, mapping(run["configs"].get(leaf)).get("num_fewshot"))) for leaf in leaves}
    return of_leaves.pop() if len(of_leaves) == 1 else None


def _choices(config: dict[str, Any]) -> int | None:
    choices = config.get("doc_to_choice")
    return (
        len(choices)
        if config.get("output_type") == "multiple_choice" and isinstance(choices, list) and choices
        else None
    )


def _total(samples: list[dict[str, Any]], key: str) -> int | None:
    counts = [integer(s.get(key)) for s in samples]
    return integer(sum(c for c in counts if c is not None)) if counts and None not in counts else None


def _digest(text: object, sha: object) -> str:
    """Twelve digits that name a text; lm_eval's own hash where it gave one."""
    if not text and not sha:
        return ""
    return clean(sha)[:12] if sha else hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _hash(row: Row, keys: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([row[k] for k in keys]).encode()).hexdigest()[:16]


def _date(value: object) -> str:
    """ISO 8601 in UTC; "" where the file does not say. lm_eval writes seconds since 1970."""
    if not is_number(value):
        return ""
    try:
        return datetime.fromtimestamp(float(value), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # type: ignore[arg-type]
    except (OverflowError, ValueError, OSError):
        return ""
