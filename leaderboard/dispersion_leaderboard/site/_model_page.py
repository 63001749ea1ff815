"""A model's page: only what was measured of it, so that another model's results do not change it."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from dispersion_leaderboard.board import Board
from dispersion_leaderboard.records import Records
from dispersion_leaderboard.site import _profile
from dispersion_leaderboard.site._output import Output
from dispersion_leaderboard.site._pages import Pages, code_digest

_OF_TASK = ["kind", "task", "version", "n_shot", "n", "n_original", "limited", "task_hash", "corpus_hash", "source"]
_OF_RUN = ["source", "date", "command", "device", "lm_eval", "transformers", "plugin"]
_COLUMNS = list(
    dict.fromkeys([*_OF_TASK, *_OF_RUN, "metric", "filter", "value", "stderr", "how", "profile", "profile_stderr"])
)
_AT_ONCE = 200


def write_models(output: Output, pages: Pages, board: Board, records: Records, cache: Path) -> None:
    """Makes the pages whose content is another than at the last build, and keeps the others."""
    # All pages lead to the queue, where there is one.
    code = code_digest() + ("queue" if pages.queue else "")
    digests, index = _digests(board, records), cache / "pages.json"
    known: dict[str, str] = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    now = {
        path: f"{code}{digests[entry]}"
        for path, entry in zip(board.entries["path"], board.entries["entry"], strict=True)
    }
    new = [i for i, path in enumerate(board.entries["path"]) if known.get(path) != now[path] or not output.keep(path)]
    if new:
        # A build that is cut short may have written these, and vouches for none of them.
        unsure = {board.entries["path"].iat[i] for i in new}
        _save(index, {path: digest for path, digest in known.items() if path not in unsure})
    lost = records.superseded.groupby("entry", sort=False).indices
    rows = records.table.groupby("entry", observed=True, sort=False).indices
    with tqdm(total=len(new), desc="Models", unit="page", delay=1) as progress:
        for start in range(0, len(new), _AT_ONCE):
            chunk = new[start : start + _AT_ONCE]
            for position, told in zip(chunk, _told(board, records, chunk, rows), strict=True):
                about = _about(board, position)
                replaced = records.superseded.iloc[lost.get(about["entry"], [])].to_dict("records")
                missing = [board.columns[j].label for j in board.ranked if not math.isfinite(board.values[position, j])]
                page = pages.render(
                    "model.html", about["path"], about=about, superseded=replaced, missing=missing, **told
                )
                output.write(about["path"], page)
            progress.update(len(chunk))
    _save(index, now)


def _save(index: Path, digests: dict[str, str]) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    beside = index.with_name(f".{index.name}")
    beside.write_text(json.dumps(digests), encoding="utf-8")
    beside.replace(index)


def _about(board: Board, position: int) -> dict[str, Any]:
    about = {name: board.entries[name].iat[position] for name in board.entries}
    return about | {name: _number(about[name]) for name in ("parameters", "active_parameters")}


def _told(board: Board, records: Records, chunk: list[int], rows: dict[str, Any]) -> list[dict[str, Any]]:
    """What each entry's records say; many entries at a time, since taking a table apart is slow."""
    of_entry = [rows[board.entries["entry"].iat[i]] for i in chunk]
    part = records.table[_COLUMNS].iloc[np.concatenate(of_entry)]
    plain = [
        dict(zip(_COLUMNS, values, strict=True)) for values in zip(*(part[c].tolist() for c in _COLUMNS), strict=True)
    ]
    found, start = [], 0
    for of in of_entry:
        mine = plain[start : start + len(of)]
        start += len(of)
        runs = {row["source"]: {key: row[key] for key in _OF_RUN} for row in mine}
        numbers = {source: number for number, source in enumerate(sorted(runs), 1)}
        drawn = {(r["task"], r["source"]): r for r in mine if r["metric"] == "dispersion" and r["profile"] is not None}
        # Those of corpora, which all models share; a dozen benchmarks' prompts would only repeat their shape.
        shared = {key: row for key, row in drawn.items() if row["kind"] == "corpus"} or drawn
        found.append(
            {
                "tasks": [
                    _task(list(of_task), numbers)
                    for _, of_task in groupby(mine, lambda r: (r["task"], r["n_shot"], r["source"]))
                ],
                "profiles": [_profile.draw(row) for row in shared.values()],
                "runs": [runs[source] for source in numbers],
            }
        )
    return found


def _task(rows: list[dict[str, Any]], numbers: dict[str, int]) -> dict[str, Any]:
    task = {key: rows[0][key] for key in _OF_TASK} | {"run": numbers[rows[0]["source"]]}
    task |= {key: _count(task[key]) for key in ("n_shot", "n", "n_original")}
    task["metrics"] = [
        {
            "metric": r["metric"],
            "filter": r["filter"],
            "value": _digits(r["value"]),
            "stderr": _digits(r["stderr"]),
            "how": r["how"],
        }
        for r in rows
    ]
    return task


def _digests(board: Board, records: Records) -> dict[str, str]:
    """Of everything that a page is made from, entry by entry, without making it."""
    hashed = _row_hashes(records.table.drop(columns=["profile", "profile_stderr", "quantiles"]))
    for name in ("profile", "profile_stderr"):
        hashed = hashed ^ _list_hashes(records.table[name])
    by_row = (
        pd.Series(hashed).groupby(records.table["entry"].astype(str).to_numpy()).agg(lambda h: h.to_numpy().tobytes())
    )
    lost = pd.Series(_row_hashes(records.superseded)).groupby(records.superseded["entry"].astype(str).to_numpy()).sum()
    missing = ~np.isfinite(board.values[:, list(board.ranked)])
    ranked = "|".join(board.columns[j].label for j in board.ranked).encode("utf-8", "replace")
    found = {}
    for i, (entry, title) in enumerate(zip(board.entries["entry"], board.entries["title"], strict=True)):
        parts = [by_row[entry], str(lost.get(entry, "")).encode(), missing[i].tobytes(), ranked, title.encode()]
        found[entry] = hashlib.sha256(b"|".join(parts)).hexdigest()
    return found


def _row_hashes(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.uint64]]:
    if frame.empty:
        return np.empty(0, dtype=np.uint64)
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)


def _list_hashes(lists: pd.Series) -> np.ndarray[Any, np.dtype[np.uint64]]:
    found, values = np.zeros(len(lists), dtype=np.uint64), lists.to_numpy()
    there = [i for i, value in enumerate(values) if value is not None and len(value)]
    if there:
        flat = np.concatenate(values[there]).astype(float)
        lengths = np.fromiter(map(len, values[there]), dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        # The position counts too: two layers that swap their numbers are another profile.
        place = (np.arange(len(flat)) - np.repeat(starts, lengths)).astype(np.uint64)
        found[there] = np.add.reduceat(pd.util.hash_array(flat) * (2 * place + 1), starts)
    return found


def _digits(value: Any) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def _count(value: Any) -> int | None:
    return None if (value := _number(value)) is None else int(value)


def _number(value: Any) -> Any:
    return None if value is None or value is pd.NA or value != value else value
