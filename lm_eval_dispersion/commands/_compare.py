"""``compare``: runs of several models on one text, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lm_eval_dispersion.runs import complain, runs_at


def compare(
    results: Annotated[
        list[Path], typer.Argument(help="What lm_eval's --output_path was (searched to its bottom), or a results file.")
    ],
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only this corpus task, or corpus.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write one page that opens from a file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> int:
    """Which model predicts a text best, paired by document, and its D."""
    from json import dumps

    from lm_eval_dispersion.commands._compared import show
    from lm_eval_dispersion.compare import as_json, by_corpus, differences, labels, page
    from lm_eval_dispersion.compare import compare as compared
    from lm_eval_dispersion.pages import write_beside

    found, refused = [], []
    for entries in by_corpus(runs_at(results), task):
        names = labels([entry.model for entry in entries])
        if len(entries) < 2:
            complain(f"{entries[0].corpus}: {names[0]} alone was run on it; compare takes two models or more")
        elif lines := differences(entries, names):
            refused += lines
        else:
            found.append(compared(entries, names))
    for line in refused:
        complain(line)
    if refused:
        complain("runs that differ are not ranked; measure them on one text with the same options")
    if json:
        print(dumps({"comparisons": [as_json(one) for one in found], "refused": refused}, indent=2, allow_nan=False))
    else:
        show(found)
    if html and found:
        write_beside(html, page(found))
        if not json:
            print(f"Page: {html}")
    return 1 if refused or not found else 0
