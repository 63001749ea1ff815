"""What can be compared: each row of the records that a board shows is put into one column of comparable numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dispersion_leaderboard.records import SCREEN, SIGNALS, Conventions

PREFIX = "dispersion_"
_FILTERS = ("none", "strict-match")
_APART = ["version", "n_shot", "metric", "answers", "corpus_hash", "documents"]
"""Numbers of one name that differ in any of these are not comparable; ``answers`` is the filter of an accuracy."""


@dataclass(frozen=True)
class Column:
    """Numbers of one kind that may be compared with each other."""

    key: str
    """Stable and fit for a URL: lower-case letters, digits, dots and hyphens."""
    kind: str
    """``accuracy``, ``dispersion`` (of a corpus), ``prompts`` (dispersion of a task's prompts), ``perplexity``;
    ``answers``, ``prompt-signal`` and ``corpus-signal``, where ``metric`` says which signal; ``gap`` of a token set."""
    name: str
    """The benchmark, corpus or token set, without our prefix."""
    label: str
    task: str
    """As lm_eval knows it."""
    metric: str
    filter: str
    version: str
    n_shot: int | None
    corpus_hash: str
    documents: int | None
    """How many, where the run was limited to some; None for all."""
    chance: float | None
    in_group: bool
    """Whether a group that reports the same metric stands for it."""


def assign(table: pd.DataFrame, conventions: Conventions) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """The rows a board shows with their ``column`` (position in the columns returned), the newest where several fit.

    Accuracy, and what answers say of themselves, is comparable within (benchmark, version, shots, metric, filter,
    documents); D and other signals of a text within (corpus or benchmark, definition, text); bits per byte within
    (corpus, version, text or documents); G within (token set, definition). A benchmark measured by our
    wrapped task and by lm_eval's own is one: the numbers are the same.
    """
    shown = _shown(table, conventions)
    shown["column"] = shown.groupby(["what", "name", *_APART], dropna=False, sort=True, observed=True).ngroup()
    first = shown.sort_values(["task", "source"]).drop_duplicates("column").sort_values("column")
    differs = first.groupby(["what", "name", "of"])[_APART].transform("nunique", dropna=False) > 1
    columns = _distinct(
        _column(row, {name for name, apart in of_row.items() if apart}, conventions)
        for row, of_row in zip(first.to_dict("records"), differs.to_dict("records"), strict=True)
    )
    newest = shown.sort_values(["date", "source"], ascending=False, kind="stable").drop_duplicates(["entry", "column"])
    return newest, tuple(columns)


_OF_ANSWERS = [name for name, known in SIGNALS.items() if known.kind == "confidence"]
_OF_TEXT = ["dispersion", "prompts", "prompt-signal", "corpus-signal", "gap"]


def _shown(table: pd.DataFrame, conventions: Conventions) -> pd.DataFrame:
    """One row a task of a run and kind of number."""
    signal, screen = table["signal"], table["kind"] == SCREEN
    metric = table["metric"].astype(str).where(~signal & ~screen, "")
    corpus = (table["kind"] == "corpus") | (metric == "bits_per_byte")
    accuracy = (metric == _headlines(table, conventions)) & ~corpus
    gap = screen & (table["metric"] == "gap")
    shown = table[accuracy | metric.isin(["dispersion", "bits_per_byte"]) | signal | gap].copy()
    for name in (
        "entry",
        "task",
        "base_task",
        "metric",
        "filter",
        "version",
        "corpus_hash",
        "corpus",
        "date",
        "source",
        "parent",
    ):
        shown[name] = shown[name].astype(str)
    shown["what"] = _what(shown)
    shown["of"] = shown["metric"].where(shown["signal"], "")
    shown["name"] = [
        base or task.removeprefix(PREFIX) for base, task in zip(shown["base_task"], shown["task"], strict=True)
    ]
    gap = shown["what"] == "gap"
    shown.loc[gap, "name"] = shown.loc[gap, "corpus"]
    labelled = shown["what"].isin(["accuracy", "answers"])
    shown["documents"] = shown["n"].where(shown["limited"] & labelled | shown["limited"] & (shown["corpus_hash"] == ""))
    # Two D are told apart by their text, two accuracies by how they are scored.
    shown.loc[labelled, "corpus_hash"] = ""
    shown["answers"] = shown["filter"].where(shown["what"] == "accuracy", "")
    of_text = shown["what"].isin(_OF_TEXT)
    shown.loc[of_text, "version"] = shown.loc[of_text, "definition"].astype(str)
    shown.loc[~labelled, "n_shot"] = None
    order = {name: position for position, name in enumerate(_FILTERS)}
    shown["by_filter"] = shown["filter"].map(order).fillna(len(order))
    shown = shown.sort_values(["by_filter", "filter"], kind="stable")
    return shown.drop_duplicates(["source", "task", "metric", "entry"]).drop(columns="by_filter")


def _what(shown: pd.DataFrame) -> NDArray[np.str_]:
    """Kinds of columns."""
    metric, of_corpus = shown["metric"], shown["kind"] == "corpus"
    dispersion = metric == "dispersion"
    return np.select(
        [
            shown["kind"] == SCREEN,
            shown["signal"] & metric.isin(_OF_ANSWERS),
            shown["signal"] & of_corpus,
            shown["signal"],
            metric == "bits_per_byte",
            dispersion & of_corpus,
            dispersion,
        ],
        ["gap", "answers", "corpus-signal", "prompt-signal", "perplexity", "dispersion", "prompts"],
        "accuracy",
    )


def _headlines(table: pd.DataFrame, conventions: Conventions) -> pd.Series:
    by_task = table[["task", "metric"]].drop_duplicates().astype(str).groupby("task")["metric"].agg(list)
    chosen = {task: conventions.headline(task, metrics) for task, metrics in by_task.items()}
    return table["task"].astype(str).map(chosen)


def _column(row: dict[str, object], differs: set[str], conventions: Conventions) -> Column:
    kind, name, task, of = (str(row[key]) for key in ("what", "name", "task", "of"))
    shots = None if pd.isna(row["n_shot"]) else int(str(row["n_shot"]).partition(".")[0])
    documents = None if pd.isna(row["documents"]) else int(str(row["documents"]).partition(".")[0])
    prefix = _prefix(kind, of)
    told = [f"{shots}-shot"] if shots else []
    told += [f"first {documents}"] if documents else []
    # Beyond that, only what tells it from the other columns of that name.
    if not shots and "n_shot" in differs:
        told.append("shots not given" if shots is None else "0-shot")
    told += [str(row[name]) for name in ("metric", "answers") if name in differs]
    if "version" in differs:
        told.append(f"{'definition ' if kind in _OF_TEXT else 'v'}{row['version'] or '?'}")
    if "corpus_hash" in differs:
        told.append(f"text {str(row['corpus_hash'])[:6] or 'not given'}")
    label = f"{prefix}{name}" + (f" ({', '.join(told)})" if told else "")
    choices = None if pd.isna(row["choices"]) else int(str(row["choices"]).partition(".")[0])
    # A dot stays between letters and digits only: a file whose name begins with one is hidden.
    told_by = f"{of} {label.removeprefix(prefix)}".strip().lower()
    slug = re.sub(r"[^a-z0-9]*[^a-z0-9.][^a-z0-9]*", "-", told_by).strip("-.")
    return Column(
        key=f"{kind}-{slug or 'unnamed'}",
        kind=kind,
        name=name,
        label=label,
        task=task,
        metric=str(row["metric"]),
        filter=str(row["filter"]),
        version=str(row["version"]),
        n_shot=shots,
        corpus_hash=str(row["corpus_hash"]),
        documents=documents,
        chance=conventions.chance(task, str(row["base_task"]), choices) if kind == "accuracy" else None,
        in_group=bool(row["parent"]) and kind in ("accuracy", "prompts", "answers", "prompt-signal"),
    )


def _prefix(kind: str, signal: str) -> str:
    if signal:
        return f"{SIGNALS[signal].label}{' of prompts' if kind == 'prompt-signal' else ''}, "
    return {"dispersion": "D ", "prompts": "D of prompts, ", "perplexity": "bits per byte, ", "gap": "G "}.get(kind, "")


def _distinct(columns: Iterator[Column]) -> list[Column]:
    """Keys, and labels within a kind, that hostile or long names make equal get a number."""
    keys: set[str] = set()
    labels: set[tuple[str, str]] = set()
    distinct = []
    for column in columns:
        key = next(k for n in count(1) if (k := _numbered(column.key[:80].strip("-."), "-", n)) not in keys)
        label = next(t for n in count(1) if (column.kind, (t := _numbered(column.label, " #", n))) not in labels)
        keys.add(key)
        labels.add((column.kind, label))
        distinct.append(replace(column, key=key, label=label))
    return distinct


def _numbered(text: str, mark: str, number: int) -> str:
    return text if number == 1 else f"{text}{mark}{number}"
