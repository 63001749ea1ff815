"""What was added, rescored and removed, and why: told by the records themselves, and never forgotten again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dispersion_leaderboard.records import Records

Event = dict[str, Any]
"""``date`` (of the run), ``what``, ``model``, ``entry``, ``tasks``, ``source``, ``why``."""

FILE = "data/changelog.json"
_GONE = "its results file is no longer there"
_BACK = "its results file is there again"


def changelog(records: Records, before: Path) -> list[Event]:
    """All events, newest first.

    Dates are those of the runs, so that the same records give the same log whenever it is made; that a file went or
    came back bears the date of the newest run there is.

    Args:
        records: what the board is built from.
        before: the log of an earlier build, if there is one; whatever it holds stays.
    """
    earlier = _read(before)
    told = {_key(event) for event in earlier}
    log = _in_order([*reversed(earlier), *(event for event in _from_records(records) if _key(event) not in told)])
    log = _in_order(log + _gone_and_back(log, records))
    return log[::-1]


def _in_order(log: list[Event]) -> list[Event]:
    """Oldest first; of one day, what came and went of a file stays in the order in which it did."""
    turns: Counter[tuple[str, str]] = Counter()
    places = []
    for event in log:
        about = (event["source"], event["entry"])
        moved = event["what"] == "removed" or event["why"] == _BACK
        turns[about] += moved
        places.append((event["date"], moved and turns[about], *about, event["what"], event["why"]))
    return [log[i] for i in sorted(range(len(log)), key=places.__getitem__)]


def _from_records(records: Records) -> list[Event]:
    columns = ["record", "entry", "model", "task", "source", "date"]
    kept = records.table[[*columns, "limited"]].drop_duplicates(["source", "task", "entry"])
    lost = records.superseded[columns]
    # Where the run that stands is limited, all of them are; else those that a full one stands in for.
    by_full = records.superseded["why"].str.contains("--limit", regex=False)
    standing = lost["record"].astype(str).map(kept.astype({"record": str}).set_index("record")["limited"])
    lost = lost.assign(limited=by_full.to_numpy(bool) | standing.to_numpy(bool))
    runs = pd.concat([kept.astype(dict.fromkeys(columns, str)), lost.astype(dict.fromkeys(columns, str))])
    runs = runs.sort_values(["date", "source"], kind="stable", ignore_index=True)
    # A run with --limit that came after a full one changed nothing on the board.
    runs = runs[~runs["limited"] | runs.assign(full=~runs["limited"]).groupby("record")["full"].cumsum().eq(0)]
    of_record = runs.groupby("record", sort=False)
    first = of_record.cumcount() == 0
    last = of_record[["date", "limited"]].shift()
    runs["what"] = np.where(first, "added", "rescored")
    fuller = last["limited"].eq(True) & ~runs["limited"]
    why = np.where(last["date"] == runs["date"], "another copy of the same run", "a newer run")
    why = np.where(fuller, "a run of every document replaces one with --limit", why)
    runs["why"] = np.where(first, "", why)
    grouped = runs.groupby(["date", "source", "entry", "model", "what", "why"], sort=True)["task"].agg(list)
    return [
        {
            "date": date,
            "what": what,
            "model": model,
            "entry": entry,
            "tasks": sorted(tasks),
            "source": source,
            "why": why,
        }
        for (date, source, entry, model, what, why), tasks in grouped.items()
    ]


def _gone_and_back(log: list[Event], records: Records) -> list[Event]:
    """What each file that was told of does now and did not do at the last build."""
    there = set(records.table["source"].unique()) | set(records.superseded["source"])
    skipped = dict(records.skipped)
    newest = max(records.table["date"].unique())
    last: dict[tuple[str, str], Event] = {}
    tasks: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in log:
        about = (event["source"], event["entry"])
        last[about] = event
        tasks[about].update(event["tasks"])
    found = []
    for (source, entry), event in last.items():
        if (event["what"] == "removed") != (source in there):
            continue
        why = f"its results file cannot be read: {skipped[source]}" if source in skipped else _GONE
        found.append(
            {
                **event,
                "date": max(newest, event["date"]),
                "what": "added" if source in there else "removed",
                "tasks": sorted(tasks[source, entry]),
                "why": _BACK if source in there else why,
            }
        )
    return found


def _read(file: Path) -> list[Event]:
    if not file.is_file():
        return []
    try:
        events = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(events, list):
            raise TypeError
        return [
            {key: event[key] for key in ("date", "what", "model", "entry", "tasks", "source", "why")}
            for event in events
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"leaderboard: {file} is no changelog; restore it, or remove it to begin a new one") from error


def _key(event: Event) -> str:
    """Two that differ in nothing else are one; a model's name may be told otherwise by another version of ours."""
    return hashlib.sha256(json.dumps(event | {"model": ""}, sort_keys=True).encode()).hexdigest()
