"""The board: entries (a model in one configuration) by columns (a comparable quantity)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dispersion_leaderboard.board._columns import Column, assign
from dispersion_leaderboard.board._ranks import Ranks, rank
from dispersion_leaderboard.records import Conventions, Records

Floats = NDArray[np.float64]

_ABOUT = [
    "entry",
    "model",
    "family",
    "tokenizer",
    "parameters",
    "parameters_from",
    "active_parameters",
    "training_compute",
    "licence",
    "model_kind",
    "note",
    "dtype",
    "quantisation",
    "engine",
    "revision",
    "gguf_file",
    "peft",
    "chat_template",
    "system_prompt",
    "on_hub",
]


@dataclass(frozen=True)
class Board:
    """What the overview shows and the predictors learn from."""

    entries: pd.DataFrame
    """One row an entry in the order shown: ranked ones by score, then the others by name. ``title`` names it,
    ``path`` is its page."""
    columns: tuple[Column, ...]
    values: Floats
    """[entries, columns], NaN where not measured."""
    stderr: Floats
    n: Floats
    """Documents."""
    profiles: dict[int, list[Floats | None]]
    """By column of D: every entry's D by layer, h[0] to h[L]."""
    quantiles: dict[int, list[Floats | None]]
    """By column of a confidence: every entry's percentiles over documents, 0th to 100th."""
    ranked: tuple[int, ...]
    """Columns of accuracy that make the rank: measured for at least half of the entries that have any."""
    ranks: Ranks

    def of_kind(self, *kinds: str) -> list[int]:
        """Positions of the columns of these kinds."""
        return [i for i, column in enumerate(self.columns) if column.kind in kinds]


def lay_out(records: Records, conventions: Conventions) -> Board:
    """Puts the records on a board."""
    shown, columns = assign(records.table, conventions)
    entries = records.table.drop_duplicates("entry")[_ABOUT].reset_index(drop=True)
    for name in entries.select_dtypes("category"):
        entries[name] = entries[name].astype(str)
    position = pd.Series(range(len(entries)), index=entries["entry"])
    rows, cells = position.loc[shown["entry"]].to_numpy(), shown["column"].to_numpy()
    values, stderr, n = (np.full((len(entries), len(columns)), np.nan) for _ in range(3))
    values[rows, cells], n[rows, cells] = shown["value"], shown["n"].astype(float)
    stderr[rows, cells] = shown["stderr"]
    _binomial_where_missing(columns, values, stderr, n)
    ranked = _ranked(columns, values)
    chance = np.array([columns[i].chance or 0.0 for i in ranked])
    ranks = rank(values[:, ranked], _never_certain(stderr[:, ranked], values[:, ranked], n[:, ranked]), chance)
    entries["title"] = _titles(entries)
    entries["path"] = [_path(title, entry) for title, entry in zip(entries["title"], entries["entry"], strict=True)]
    order = np.lexsort((entries["entry"], entries["title"], -np.nan_to_num(ranks.score, nan=-np.inf)))
    cells_of = (shown, rows, columns, len(entries))
    profiles = _lists(*cells_of, "profile", ("dispersion", "prompts"))
    quantiles = _lists(*cells_of, "quantiles", ("answers",))
    return Board(
        entries=entries.iloc[order].reset_index(drop=True),
        columns=columns,
        values=values[order],
        stderr=stderr[order],
        n=n[order],
        profiles={column: [of_entry[i] for i in order] for column, of_entry in profiles.items()},
        quantiles={column: [of_entry[i] for i in order] for column, of_entry in quantiles.items()},
        ranked=tuple(ranked),
        ranks=Ranks(*(getattr(ranks, name)[order] for name in ("score", "stderr", "best", "worst", "group"))),
    )


def _binomial_where_missing(columns: tuple[Column, ...], values: Floats, stderr: Floats, n: Floats) -> None:
    """The standard error of a share of n questions, where the source gives none."""
    for i, column in enumerate(columns):
        if column.kind == "accuracy":
            share = np.clip(values[:, i], 0, 1)
            missing = ~np.isfinite(stderr[:, i]) & (n[:, i] > 1)
            stderr[missing, i] = np.sqrt(share * (1 - share) / np.maximum(n[:, i] - 1, 1))[missing]


def _never_certain(stderr: Floats, values: Floats, n: Floats) -> Floats:
    """Zero standard errors, of all right or all wrong, become those with two right and two wrong answers added.

    Agresti and Coull, The American Statistician 52 (1998): such an accuracy is not known for certain.
    """
    share = (values * n + 2) / (n + 4)
    return np.where((stderr == 0) & (n > 0), np.sqrt(share * (1 - share) / (n + 4)), stderr)


def _ranked(columns: tuple[Column, ...], values: Floats) -> list[int]:
    candidates = [i for i, column in enumerate(columns) if column.kind == "accuracy" and not column.in_group]
    measured = np.isfinite(values[:, candidates])
    with_any = measured.any(1).sum()
    return [i for i, count in zip(candidates, measured.sum(0), strict=True) if count * 2 >= with_any and count]


def _titles(entries: pd.DataFrame) -> list[str]:
    """The model's name, as much of its configuration as tells it from the others of that name, and the board's note."""
    parts = {"precision": entries["dtype"] + " " + entries["quantisation"]}
    parts |= {name: entries[name] for name in ("engine", "gguf_file", "peft", "chat_template", "system_prompt")}
    # A commit is told by its first digits; a name (step1000, step10000) only by all of it.
    commit = entries["revision"].str.fullmatch("[0-9a-f]{40}")
    parts["revision"] = entries["revision"].where(~commit, entries["revision"].str[:8])
    titles = []
    by_model = entries.groupby("model").indices
    for i, model in enumerate(entries["model"]):
        same = by_model[model]
        told = [
            f"{name.replace('_', ' ')} {part.iat[i].strip() or 'none'}" if name != "precision" else part.iat[i].strip()
            for name, part in parts.items()
            if len(same) > 1 and part.iloc[same].nunique() > 1
        ]
        told += [note] if (note := entries["note"].iat[i]) else []
        titles.append(f"{model} ({', '.join(told)})" if told else model)
    return titles


def _path(title: str, entry: str) -> str:
    """A page's place: fit for any file system whatever the name, and in 256 folders."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower())[:60].strip("-") or "model"
    shard = hashlib.sha256(entry.encode()).hexdigest()[:2]
    return f"models/{shard}/{slug}-{entry[:8]}.html"


def _lists(
    shown: pd.DataFrame,
    rows: NDArray[np.int64],
    columns: tuple[Column, ...],
    entries: int,
    name: str,
    kinds: tuple[str, ...],
) -> dict[int, list[Floats | None]]:
    """By column of these kinds, what ``shown`` has for every entry under a name."""
    found: dict[int, list[Floats | None]] = {
        i: [None] * entries for i, column in enumerate(columns) if column.kind in kinds
    }
    there = shown[name].notna().to_numpy()
    for row, column, values in zip(rows[there], shown["column"][there], shown[name][there], strict=True):
        if column in found:
            found[column][row] = np.asarray(values)
    return found
