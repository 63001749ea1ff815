"""Results files of models that do not exist, small and changed at will, and what is read from them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from dispersion_leaderboard.board import Board, lay_out
from dispersion_leaderboard.records import Records, read_conventions, read_records

from benchmarks import _board_files

Run = dict[str, Any]
TASKS = ("dispersion_wiki", "dispersion_piqa", "dispersion_boolq")
HOSTILE = (
    '"><script>window.pwned=1</script>',
    "<img src=x onerror=window.pwned=1>",
    "../../etc/passwd",
    "\u202egnp.exe",
    "m" * 300,
    '=HYPERLINK("http://x","y")',
    "模型-é-🤖",
    "{{ 7*7 }}${7*7}",
    "a'b\"c`d</script>&amp;",
    "-1+1|cmd",
    "constructor",
    "two\nlines",
)
HOSTILE_TASK = "<img src=x onerror=window.pwned=1>"
FAMILIES = ("Plain", '<b onclick="pwned=1">Bold & "x"</b>', "ومن", "a,b;c", "=1+1")
_BY_TASK = ("results", "configs", "versions", "n-shot", "n-samples", "task_hashes")


def made(name: str, number: int = 0, tasks: tuple[str, ...] = TASKS, **config: Any) -> Run:
    """One model's run on a few tasks, ``number`` seconds after the first."""
    rng = np.random.default_rng(number)
    run = _board_files.one(name, number % 5, 10 ** (8 + number % 9 / 4), 0.4 * (number % 7) - 1, rng, 1.7e9 + number)
    for part in _BY_TASK:
        run[part] = {task: run[part][task] for task in tasks}
    run["config"] |= config
    return run


def task_named(run: Run, old: str, new: str) -> Run:
    """The run with one of its tasks under another name, as a stock task: without a record of ours."""
    for part in _BY_TASK:
        run[part][new] = run[part].pop(old)
    run["configs"][new] = run["configs"][new] | {"task": new, "metadata": {"version": 1.0}}
    run["results"][new] = {k: v for k, v in run["results"][new].items() if not k.startswith("dispersion")}
    return run


def save(folder: Path, place: str, run: Run, stamp: str = "2026-01-01") -> Path:
    """Saves it as lm_eval would, in a folder of the model."""
    file = folder / place / f"results_{stamp}T00-00-00.000000.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(run), encoding="utf-8")
    return file


def records_of(folder: Path) -> Records:
    return read_records([str(folder)], read_conventions())


def board_of(folder: Path, *runs: Run) -> Board:
    """All of these on one board."""
    for i, run in enumerate(runs):
        save(folder, f"m{i}", run)
    return lay_out(records_of(folder), read_conventions())


def digests(site: Path) -> dict[str, str]:
    """Names the content of every file of a built site."""
    files = (file for file in site.rglob("*") if file.is_file())
    return {file.relative_to(site).as_posix(): sha256(file.read_bytes()).hexdigest() for file in files}


def with_signals(run: Run, task: str, **values: list[float]) -> Run:
    """The run with signals in a task's record, from their values by document, as the plugin writes them."""
    signals = run["configs"][task]["metadata"]["dispersion"].setdefault("signals", {})
    for name, of_documents in values.items():
        drawn = np.array(of_documents)
        signals[name] = {
            "layers": None,
            "mean": float(drawn.mean()),
            "stderr": float(drawn.std(ddof=1) / len(drawn) ** 0.5),
            "n": len(drawn),
        }
        if name.startswith("confidence"):
            signals[name]["quantiles"] = np.percentile(drawn, range(101)).tolist()
    return run


def screened(name: str, number: int = 0, **gaps: float) -> Run:
    """What ``screen`` writes of a checkpoint, in lm_eval's form: G of token sets."""
    tasks = {f"screen_{of}": gap for of, gap in gaps.items()}
    return {
        "results": {task: {"alias": task, "gap,none": gap, "gap_stderr,none": "N/A"} for task, gap in tasks.items()},
        "configs": {
            task: {
                "task": task,
                "metadata": {
                    "version": 1,
                    "dispersion_screen": {"set": task[7:], "version": 1, "stderr_over_tokens": 0.01},
                },
            }
            for task in tasks
        },
        "versions": dict.fromkeys(tasks, 1),
        "n-samples": {task: {"original": 200 + number, "effective": 100 + number} for task in tasks},
        "config": {"model": "screen", "model_args": {"pretrained": name}},
        "date": 1.7e9 + number,
        "model_name": name,
    }
