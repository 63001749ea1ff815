"""What can be compared: each row of the records that a board shows is put into one column of comparable numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from leaderboard.records import Conventions

PREFIX = "dispersion_"
_FILTERS = ("none", "strict-match")


@dataclass(frozen=True)
class Column:
    """Numbers of one kind that may be compared with each other."""

    key: str
    """Stable and fit for a URL: lower-case letters, digits, dots and hyphens."""
    kind: str
    """``accuracy``, ``dispersion`` (of a corpus), ``prompts`` (dispersion of a task's prompts) or ``perplexity``."""
    name: str
    """The benchmark or corpus, without our prefix."""
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

    Accuracy is comparable within (benchmark, version, shots, metric, filter, documents); D within (corpus or benchmark,
    definition version, text); bits per byte within (corpus, version, text or documents). A benchmark measured by our
    wrapped task and by lm_eval's own is one: the numbers are the same.
    """
    shown = _shown(table, conventions)
    keys = ["what", "name", "version", "n_shot", "metric", "corpus_hash", "documents"]
    grouped = shown.groupby(keys, dropna=False, sort=True, observed=True)
    shown["column"] = grouped.ngroup()
    count = grouped.size().groupby(["what", "name"]).transform("size")
    first = shown.sort_values(["task", "source"]).drop_duplicates("column").sort_values("column")
    columns = [
        _column(row, alone == 1, conventions) for row, alone in zip(first.to_dict("records"), count, strict=True)
    ]
    columns = _distinct(columns)
    newest = shown.sort_values(["date", "source"], ascending=False, kind="stable").drop_duplicates(["entry", "column"])
    return newest, tuple(columns)


def _shown(table: pd.DataFrame, conventions: Conventions) -> pd.DataFrame:
    """One row a task of a run and kind of number."""
    corpus = (table["kind"] == "corpus") | table["metric"].isin(["bits_per_byte"])
    headline = _headlines(table, conventions)
    accuracy = (table["metric"].astype(str) == headline) & ~corpus
    dispersion = table["metric"] == "dispersion"
    perplexity = table["metric"] == "bits_per_byte"
    shown = table[accuracy | dispersion | perplexity].copy()
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
    shown["what"] = "accuracy"
    shown.loc[shown["metric"] == "bits_per_byte", "what"] = "perplexity"
    shown.loc[shown["metric"] == "dispersion", "what"] = "prompts"
    shown.loc[(shown["metric"] == "dispersion") & (shown["kind"] == "corpus"), "what"] = "dispersion"
    shown["name"] = [
        base or task.removeprefix(PREFIX) for base, task in zip(shown["base_task"], shown["task"], strict=True)
    ]
    labelled = shown["what"] == "accuracy"
    shown["documents"] = shown["n"].where(shown["limited"] & labelled | shown["limited"] & (shown["corpus_hash"] == ""))
    # Two D are told apart by their text, two accuracies by how they are scored.
    shown.loc[labelled, "corpus_hash"] = ""
    shown.loc[shown["what"].isin(["dispersion", "prompts"]), "version"] = shown["definition_version"].astype(str)
    shown.loc[~labelled, "n_shot"] = None
    order = {name: position for position, name in enumerate(_FILTERS)}
    shown["by_filter"] = shown["filter"].map(order).fillna(len(order))
    shown = shown.sort_values(["by_filter", "filter"], kind="stable").drop_duplicates(["source", "task", "metric"])
    return shown.drop(columns="by_filter")


def _headlines(table: pd.DataFrame, conventions: Conventions) -> pd.Series:
    by_task = table[["task", "metric"]].drop_duplicates().astype(str).groupby("task")["metric"].agg(list)
    chosen = {task: conventions.headline(task, metrics) for task, metrics in by_task.items()}
    return table["task"].astype(str).map(chosen)


def _column(row: dict[str, object], alone: bool, conventions: Conventions) -> Column:
    kind, name, task = str(row["what"]), str(row["name"]), str(row["task"])
    shots = None if pd.isna(row["n_shot"]) else int(str(row["n_shot"]).partition(".")[0])
    documents = None if pd.isna(row["documents"]) else int(str(row["documents"]).partition(".")[0])
    prefix = {"accuracy": "", "dispersion": "D ", "prompts": "D of prompts, ", "perplexity": "bits per byte, "}[kind]
    told = [f"{shots}-shot"] if shots else []
    told += [f"first {documents}"] if documents else []
    if not alone:
        told += [str(row["metric"]), f"v{row['version']}"] if kind == "accuracy" else []
        told += [f"text {str(row['corpus_hash'])[:6]}"] if row["corpus_hash"] else []
    label = f"{prefix}{name}" + (f" ({', '.join(told)})" if told else "")
    choices = None if pd.isna(row["choices"]) else int(str(row["choices"]).partition(".")[0])
    return Column(
        key=re.sub(r"[^a-z0-9.]+", "-", f"{kind} {label.removeprefix(prefix)}".lower()).strip("-.") or kind,
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
        in_group=bool(row["parent"]) and kind in ("accuracy", "prompts"),
    )


def _distinct(columns: list[Column]) -> list[Column]:
    """Keys that hostile or long names make equal get a number."""
    from collections import Counter
    from dataclasses import replace

    seen: Counter[str] = Counter()
    distinct = []
    for column in columns:
        key = column.key[:80]
        seen[key] += 1
        distinct.append(replace(column, key=key if seen[key] == 1 else f"{key}-{seen[key]}"))
    return distinct
