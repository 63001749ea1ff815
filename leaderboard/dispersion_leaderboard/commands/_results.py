"""The commands that read results: ``records``, ``build``, ``predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dispersion_leaderboard.commands import _options as options

_SHOWN = [
    "model", "dtype", "quantisation", "engine", "task", "n_shot", "metric", "filter", "value", "stderr", "n", "limited",
]  # fmt: skip


def records(
    results: options.Results,
    overrides: options.Overrides = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write .parquet, .csv or .json instead of printing.")
    ] = None,
) -> None:
    """Print or export the table of results."""
    from dispersion_leaderboard.records import read_conventions, read_records, write_table

    found = read_records(results, read_conventions(overrides))
    if out:
        write_table(found.table, out)
        print(f"{len(found.table)} rows: {out}")
    else:
        print(found.table[_SHOWN].to_string(index=False))
    _tell_skipped(found.skipped)
    for row in found.superseded.to_dict("records"):
        print(f"{row['source']}, {row['task']}: {row['why']} ({row['replaced_by']})", file=sys.stderr)


def build(
    results: options.Results,
    out: Annotated[Path, typer.Option(metavar="SITE", help="An empty folder, or one built before.")],
    overrides: options.Overrides = None,
    queue: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Also a page of requests: a folder or hf://datasets/ORG/NAME.")
    ] = None,
    source_task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", help="A labelled benchmark from which the others are predicted without a fit (DoC, ATC)."
        ),
    ] = None,
) -> None:
    """Make the pages."""
    from dispersion_leaderboard.records import read_conventions
    from dispersion_leaderboard.site import build as build_site

    asked = None
    if queue:
        from dispersion_leaderboard.requests import read_queue

        asked = read_queue(queue)
    built = build_site(results, out, read_conventions(overrides), asked, source_task)
    _tell_skipped(built.skipped)
    fitted = sum(fit.status == "fitted" for fit in built.fits)
    print(f"{built.models} models, {len(built.fits)} benchmarks ({fitted} fitted)")
    print(out / "index.html")


def predict(
    context: typer.Context,
    results: options.Results,
    model: Annotated[str, typer.Option(metavar="NAME", help="As the table names it.")],
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="A benchmark that other models have been measured on.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(metavar="CORPUS", help="Or a corpus on which this model's D was recorded.")
    ] = None,
    overrides: options.Overrides = None,
) -> None:
    """Predict a model's accuracy without labels."""
    if (task is None) == (domain is None):
        context.fail("Give one of --task and --domain.")
    from dispersion_leaderboard.answer import answer_domain, answer_task
    from dispersion_leaderboard.board import lay_out
    from dispersion_leaderboard.records import read_conventions, read_records

    conventions = read_conventions(overrides)
    board = lay_out(read_records(results, conventions), conventions)
    print(answer_domain(board, domain, model) if domain else answer_task(board, task or "", model))


def _tell_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    for file, why in skipped:
        print(f"skipped {file}: {why}", file=sys.stderr)
