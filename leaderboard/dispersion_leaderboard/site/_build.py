"""From a folder of results to a folder of pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from dispersion_leaderboard.board import domain_observations, labelled, lay_out, observations
from dispersion_leaderboard.predictors import TaskFit, fit_domains, fit_task
from dispersion_leaderboard.records import SIGNALS, Conventions, read_records, results_files, results_folder
from dispersion_leaderboard.requests import QueueView
from dispersion_leaderboard.site._changelog import FILE as CHANGELOG
from dispersion_leaderboard.site._changelog import changelog
from dispersion_leaderboard.site._model_page import write_models
from dispersion_leaderboard.site._output import Output
from dispersion_leaderboard.site._overview import write_changelog, write_domains, write_overview
from dispersion_leaderboard.site._pages import TITLE, Pages, assets
from dispersion_leaderboard.site._queue_page import ASSETS as QUEUE_ASSETS
from dispersion_leaderboard.site._queue_page import write_queue
from dispersion_leaderboard.site._svg import ChartFiles
from dispersion_leaderboard.site._task_page import write_tasks
from dispersion_leaderboard.site._workers import Workers
from dispersion_leaderboard.vega import javascript

_OURS = ".dispersion-leaderboard"
"""An empty file that says whose folder it is; hidden files are not published."""
_MANY = 500


@dataclass(frozen=True)
class Built:
    """What a site was made of."""

    models: int
    fits: list[TaskFit]
    skipped: tuple[tuple[str, str], ...]
    """(file, why) of what could not be read."""


def build(
    sources: Sequence[str],
    out: Path,
    conventions: Conventions,
    queue: QueueView | None = None,
    source_task: str | None = None,
) -> Built:
    """Reads, fits and renders; an unchanged page is left alone, one that is no longer made is removed.

    The same records and the same queue give the same bytes, whether the folder was empty before or holds an earlier
    build. What was read, fitted and drawn is kept beside the folder, in ``.NAME-cache``.

    Args:
        sources: of results; where there is a queue, they may hold none yet.
        out: an empty folder, or one built before.
        conventions: for all that is said of a model beside its measurements.
        queue: gets a page of its own.
        source_task: a labelled benchmark from which accuracy on the others is predicted without a fit (DoC, ATC).

    Raises:
        SystemExit: for a user's mistake, in one line; the folder is as it was.
    """
    bundled = {path: content for path, content in assets().items() if queue is not None or path not in QUEUE_ASSETS}
    _refuse_foreign(out)
    if queue is not None and _nothing_yet(sources, out):
        return _build_unmeasured(out, queue, bundled)
    cache = out.parent / f".{out.name}-cache"
    records = read_records(sources, conventions, cache)
    many = records.table["entry"].nunique() >= _MANY
    pages = Pages(queue=queue is not None)
    with Workers(many) as workers:
        workers.warm(_load_predictors)
        board = lay_out(records, conventions)
        events = changelog(records, out / CHANGELOG)
        sets = observations(board, None if source_task is None else labelled(board, source_task))
        output = _open(out)
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
    if queue is not None:
        # Backwards: of a model's several rows the first, which is the best, has the last word.
        paths = dict(zip(board.entries["model"][::-1], board.entries["path"][::-1], strict=True))
        write_queue(output, pages, queue, paths)
    output.write("compare.html", pages.render("compare.html", "compare.html"))
    output.write("method.html", pages.render("method.html", "method.html", signals=SIGNALS))
    output.write("README.md", _card(board.entries["model"][board.entries["on_hub"].astype(bool)]))
    output.write("assets/vendor/vega.js", javascript(cache))
    for path, content in bundled.items():
        output.write(path, content)
    output.remove_the_rest()
    return Built(len(board.entries), fits, records.skipped)


def _nothing_yet(sources: Sequence[str], out: Path) -> bool:
    """Whether there is not one results file, and never was: a board that has lost all of its results is a mistake."""
    return not (out / CHANGELOG).is_file() and not results_files([results_folder(source) for source in sources])


def _build_unmeasured(out: Path, queue: QueueView, bundled: Mapping[str, bytes]) -> Built:
    """The first evening of a leaderboard: requests, and no results."""
    pages, output = Pages(queue=True, measured=False), _open(out)
    output.write("index.html", pages.render("unmeasured.html", "index.html"))
    write_queue(output, pages, queue, {})
    output.write("README.md", _card([]))
    for path, content in bundled.items():
        output.write(path, content)
    output.remove_the_rest()
    return Built(0, [], ())


def _open(out: Path) -> Output:
    out.mkdir(parents=True, exist_ok=True)
    (out / _OURS).touch()
    return Output(out)


def _load_predictors() -> None:
    """What a worker has to import before it can fit; asking for it by name is enough."""


def _refuse_foreign(out: Path) -> None:
    """A folder of someone else's would be emptied."""
    if out.exists() and not out.is_dir():
        raise SystemExit(f"leaderboard: {out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _OURS).is_file():
        raise SystemExit(f"leaderboard: {out} holds other things than a leaderboard; give an empty or a new folder")


def _card(models: Iterable[str]) -> str:
    """The Space's card: a static page, shown on the pages of the models that it lists."""
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
        "models": sorted(set(models)),
    }
    return f"---\n{yaml.safe_dump(card, sort_keys=False, allow_unicode=True)}---\n\nBuilt by lm-eval-dispersion.\n"
