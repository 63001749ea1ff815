"""Results files to read: of real runs, old and new, and one that can be changed at will."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
from dispersion_leaderboard.records import Records, read_conventions, read_records

FIXTURES = Path(__file__).parent / "fixtures"
Run = dict[str, Any]


def load(folder: Path, name: str = "results_*.json") -> Run:
    """The one results file of this name below a folder."""
    (file,) = folder.rglob(name)
    return dict(json.loads(file.read_text()))


RECORD: Run = {
    "definition": {"version": 1, "kind": "prompts", "headline": "within, last hidden state"},
    "plugin_version": "0.1.0",
    "task": "capitals",
    "base_task": "capitals",
    "corpus": {"name": "capitals", "hash": "a" * 64, "selection": {"max_documents": 7, "seed": 2}},
    "engine": {"name": "hf", "lm_class": "HFLM", "dtype": "float32", "processes": 1, "versions": {}},
    "model": {"model_type": "llama", "parameters": 13424, "quantisation": None, "tokenizer_hash": "b" * 64},
    "counts": {"documents": 6},
    "layers": [0, 1, 2],
    "within": {"mean": [0.9, 0.8, 0.7], "stderr": [0.01, 0.02, 0.03], "n": [6, 6, 6]},
}
"""A dispersion record as docs/results.md describes it."""


def new_run() -> Run:
    """The real file of the group, with a dispersion record in one task: the caller's own, to change and ``write``."""
    made = load(FIXTURES / "0.4.8", "results_plain.json")
    made["results"]["capitals"] |= {"dispersion,none": 0.7, "dispersion_stderr,none": 0.03}
    made["configs"]["capitals"]["metadata"]["dispersion"] = copy.deepcopy(RECORD)
    return made


def write(folder: Path, name: str, run: Run) -> Path:
    """Saves a run as ``results_NAME.json``."""
    file = folder / f"results_{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(run))
    return file


def read(*folders: Path, cache: Path | None = None) -> Records:
    """What the product reads, with its shipped conventions."""
    return read_records([str(folder) for folder in folders], read_conventions(), cache)


def one(table: pd.DataFrame, **where: Any) -> pd.Series:
    """The one row with these values."""
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1, table
    return table.iloc[0]
