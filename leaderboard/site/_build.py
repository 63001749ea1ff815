"""From a folder of results to a folder of pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from leaderboard.board import Board, domain_observations, lay_out, observations
from leaderboard.predictors import TaskFit, fit_domains, fit_task
from leaderboard.records import Conventions, Records, read_records
from leaderboard.site._changelog import FILE as CHANGELOG
from leaderboard.site._changelog import changelog
from leaderboard.site._model_page import write_models
from leaderboard.site._output import Output
from leaderboard.site._overview import write_changelog, write_domains, write_overview
from leaderboard.site._pages import TITLE, Pages, assets
from leaderboard.site._svg import ChartFiles
from leaderboard.site._task_page import write_tasks
from leaderboard.site._workers import Workers
from leaderboard.vega import javascript

_OURS = ".dispersion-leaderboard"
"""An empty file that says whose folder it is; hidden files are not published."""
_MANY = 500


@dataclass(frozen=True)
class Built:
    """What a site was made of."""

    board: Board
    fits: list[TaskFit]
    records: Records


def build(sources: Sequence[str], out: Path, conventions: Conventions) -> Built:
    """Reads, fits and renders; an unchanged page is left alone, one that is no longer made is removed.

    The same records give the same bytes, whether the folder was empty before or holds an earlier build. What was read,
    fitted and drawn is kept beside the folder, in ``.NAME-cache``.

    Raises:
        SystemExit: for a user's mistake, in one line; the folder is as it was.
    """
    bundled = assets()
    _refuse_foreign(out)
    cache = out.parent / f".{out.name}-cache"
    records = read_records(sources, conventions, cache)
    many = records.table["entry"].nunique() >= _MANY
    out.mkdir(parents=True, exist_ok=True)
    (out / _OURS).touch()
    pages, output = Pages(), Output(out)
    with Workers(many) as workers:
        workers.warm(_load_predictors)
        board = lay_out(records, conventions)
        events = changelog(records, out / CHANGELOG)
        sets = observations(board)
        fitting = workers.map(partial(fit_task, cache=cache / "fits"), sets)
        across_domains = workers.map(partial(fit_domains, cache=cache / "fits"), [domain_observations(board)])
        write_models(output, pages, board, records, cache)
        fits = list(tqdm(fitting, total=len(sets), desc="Fitting", unit="benchmark", delay=1))
        domains = next(iter(across_domains))
    # Other processes than those that fit: each kind loads libraries of its own.
    with Workers(many) as workers:
        charts = ChartFiles(output, cache, workers)
        write_overview(output, pages, charts, board, fits, records)
        write_tasks(output, pages, charts, board, fits)
    write_domains(output, pages, board, domains)
    write_changelog(output, pages, board, events, CHANGELOG)
    for name in ("compare", "method"):
        output.write(f"{name}.html", pages.render(f"{name}.html", f"{name}.html"))
    output.write("README.md", _card(board))
    output.write("assets/vendor/vega.js", javascript(cache))
    for path, content in bundled.items():
        output.write(path, content)
    output.remove_the_rest()
    return Built(board, fits, records)


def _load_predictors() -> None:
    """What a worker has to import before it can fit; asking for it by name is enough."""


def _refuse_foreign(out: Path) -> None:
    """A folder of someone else's would be emptied."""
    if out.exists() and not out.is_dir():
        raise SystemExit(f"leaderboard: {out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _OURS).is_file():
        raise SystemExit(f"leaderboard: {out} holds other things than a leaderboard; give an empty or a new folder")


def _card(board: Board) -> str:
    """The Space's card: a static page, shown on the pages of the models that it lists."""
    on_hub = board.entries["model"][board.entries["on_hub"].astype(bool)]
    card: dict[str, Any] = {
        "title": TITLE,
        "emoji": "📐",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "app_file": "index.html",
        "license": "apache-2.0",
        "short_description": "Which label-free signal predicts accuracy, how surely",
        "tags": ["leaderboard", "representation-dispersion"],
        "models": sorted(set(on_hub)),
    }
    return f"---\n{yaml.safe_dump(card, sort_keys=False, allow_unicode=True)}---\n\nBuilt by lm-eval-dispersion.\n"
