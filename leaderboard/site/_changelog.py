"""What was added, rescored and removed, and why: told by the records themselves, and never forgotten again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard.records import Records

Event = dict[str, Any]
"""``date`` (of the run), ``what``, ``model``, ``entry``, ``tasks``, ``source``, ``why``."""

FILE = "data/changelog.json"


def changelog(records: Records, titles: dict[str, str], before: Path) -> list[Event]:
    """All events, newest first.

    Dates are those of the runs, so that the same records give the same log whenever it is made; a removal bears the
    date of the newest run there is.

    Args:
        records: what the board is built from.
        titles: what each entry is called.
        before: the log of an earlier build, if there is one; whatever it holds stays.
    """
    earlier = _read(before)
    told = {_key(event) for event in earlier}
    events = earlier + [event for event in _from_records(records, titles) if _key(event) not in told]
    events += _removed(events, records)
    return sorted(events, key=lambda e: (e["date"], e["what"] == "removed", e["source"], e["model"]), reverse=True)


def _from_records(records: Records, titles: dict[str, str]) -> list[Event]:
    kept = records.table[["record", "entry", "task", "source", "date"]].drop_duplicates(["source", "task"]).astype(str)
    lost = records.superseded[["record", "entry", "task", "source", "date", "why"]].astype(str)
    runs = pd.concat([kept.assign(why="", kept=True), lost.assign(kept=False)]).sort_values(["date", "source"])
    # A run with --limit that came after a full one changed nothing on the board.
    last = runs.loc[runs["kept"]].set_index("record")[["date", "source"]]
    when = last.reindex(runs["record"])
    runs = runs[(runs["date"].to_numpy() <= when["date"].to_numpy()) | runs["kept"].to_numpy()]
    runs["what"] = ["rescored" if again else "added" for again in runs.duplicated("record")]
    why = lost.drop_duplicates("record").set_index("record")["why"]
    runs["why"] = [
        why.get(record, "") if what == "rescored" else ""
        for record, what in zip(runs["record"], runs["what"], strict=True)
    ]
    grouped = runs.groupby(["source", "entry", "what", "why", "date"], sort=True)["task"].agg(list)
    return [
        {
            "date": date,
            "what": what,
            "model": titles.get(entry, "?"),
            "entry": entry,
            "tasks": sorted(tasks),
            "source": source,
            "why": why,
        }
        for (source, entry, what, why, date), tasks in grouped.items()
    ]


def _removed(events: list[Event], records: Records) -> list[Event]:
    there = set(records.table["source"].unique()) | set(records.superseded["source"])
    skipped = dict(records.skipped)
    newest = max(records.table["date"].unique())
    said = {event["source"] for event in events if event["what"] == "removed"}
    gone = [e for e in events if e["what"] == "added" and e["source"] not in there and e["source"] not in said]
    return [
        {
            **event,
            "date": max(newest, event["date"]),
            "what": "removed",
            "why": f"its results file cannot be read: {skipped[event['source']]}"
            if event["source"] in skipped
            else "its results file is no longer there",
        }
        for event in gone
    ]


def _read(file: Path) -> list[Event]:
    if not file.is_file():
        return []
    try:
        events = json.loads(file.read_text(encoding="utf-8"))
        return [
            {key: event[key] for key in ("date", "what", "model", "entry", "tasks", "source", "why")}
            for event in events
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"leaderboard: {file} is no changelog; restore it, or remove it to begin a new one") from error


def _key(event: Event) -> str:
    return hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
