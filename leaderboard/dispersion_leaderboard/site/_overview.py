"""The overview: its first rows as they stand, all rows as data, and what the fits found."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from dispersion_leaderboard.board import Board
from dispersion_leaderboard.predictors import DomainFit, TaskFit
from dispersion_leaderboard.records import Records, write_parquet
from dispersion_leaderboard.site import _charts, _words
from dispersion_leaderboard.site._fields import fields_of, rows_of
from dispersion_leaderboard.site._output import Output, script, script_item
from dispersion_leaderboard.site._pages import Pages
from dispersion_leaderboard.site._svg import ChartFiles
from dispersion_leaderboard.site._task_page import task_path, with_pages

_FIRST_ROWS = 50
_EAGER = 500
"""Boards of no more rows than this load them all at once; larger ones when the visitor reaches for a control."""
_CHOICES = {"family": "family", "engine": "engine", "licence": "licence", "kind": "model_kind"}


def write_overview(
    output: Output, pages: Pages, charts: ChartFiles, board: Board, fits: list[TaskFit], records: Records
) -> None:
    """The page, its charts, and the data behind it."""
    fields, rows = fields_of(board, fits), rows_of(board, fits)
    described = [{"key": f.key, "label": f.label, "group": f.group, "type": f.type, "shown": f.shown} for f in fields]
    output.write("data/models.js", script("LEADERBOARD", {"fields": described, "rows": rows}))
    _write_profiles(output, board)
    write_parquet(records.table, output.place("data/records.parquet"))
    page = pages.render(
        "overview.html",
        "index.html",
        fields=fields,
        shown=[i for i, field in enumerate(fields) if field.shown],
        rows=rows[:_FIRST_ROWS],
        total=len(rows),
        eager=len(rows) <= _EAGER,
        choices={name: sorted({v for v in board.entries[column] if v}) for name, column in _CHOICES.items()},
        ranked=[board.columns[j].label for j in board.ranked],
        captions=charts.write(_overview_charts(board, fits)),
        tasks=[
            (board.columns[i].label, task_path(board.columns[i]), _words.verdict(fit))
            for i, fit in with_pages(board, fits)
        ],
        skipped=records.skipped,
    )
    output.write("index.html", page)


def _overview_charts(board: Board, fits: list[TaskFit]) -> dict[str, tuple[str, _charts.Spec]]:
    ranked = ", ".join(board.columns[j].label for j in board.ranked)
    found = {
        "size": (
            f"Mean accuracy over chance on {ranked} against parameters; the line is the Pareto frontier",
            _charts.accuracy_by_size(board),
        ),
        "signals": (
            "How much less each signal errs on families left out than the mean does, in %; negative: more",
            _charts.signals(fits),
        ),
    }
    return {name: (caption, spec) for name, (caption, spec) in found.items() if spec is not None}


def _write_profiles(output: Output, board: Board) -> None:
    """D by layer of every model, for the comparison, in 256 files at most."""
    shards: dict[str, dict[str, dict[str, Any]]] = {}
    paths = board.entries["path"].tolist()
    for column in board.of_kind("dispersion") or board.of_kind("prompts"):
        for path, profile in zip(paths, board.profiles[column], strict=True):
            if profile is not None:
                values = np.round(profile, 5).tolist()
                if not np.isfinite(profile).all():
                    values = [v if math.isfinite(v) else None for v in values]
                shards.setdefault(path[7:9], {}).setdefault(path, {})[board.columns[column].label] = values
    for shard, profiles in sorted(shards.items()):
        output.write(f"data/profiles/{shard}.js", script_item("PROFILES", shard, profiles))


def write_changelog(output: Output, pages: Pages, board: Board, events: list[dict[str, Any]], file: str) -> None:
    """The newest events as a page, all of them as data."""
    newest = 200
    output.write(file, json.dumps(events, indent=0, ensure_ascii=False) + "\n")
    there = board.entries.set_index("entry")[["title", "path"]].to_dict("index")
    page = pages.render("changelog.html", "changelog.html", events=events[:newest], total=len(events), there=there)
    output.write("changelog.html", page)


def write_domains(output: Output, pages: Pages, board: Board, fit: DomainFit) -> None:
    """Whether D predicts across domains."""
    shown = 200
    paths, titles = (dict(zip(board.entries["entry"], board.entries[name], strict=True)) for name in ("path", "title"))
    page = pages.render(
        "domains.html",
        "domains.html",
        fit=fit,
        verdict=_words.domain_verdict(fit),
        within=fit.within[:shown],
        paths=paths,
        titles=titles,
    )
    output.write("domains.html", page)
