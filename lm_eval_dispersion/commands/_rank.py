"""``rank``: which examples a model will get wrong, by signals that need no label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lm_eval_dispersion.rank import Ranking

# Columns of a table of documents that are neither its text nor its values' heading.
_BESIDE_TEXT = 27


def rank(
    results: Annotated[Path, typer.Argument(help="lm_eval's --output_path, of a run with --log_samples.")],
    by: Annotated[
        str, typer.Option(metavar="SIGNAL", help="Or dispersion@LAYER, confidence, length, ...")
    ] = "dispersion",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Documents and slices in the table.")] = 20,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="A task or group of the run.")] = None,
    filter_name: Annotated[
        str | None, typer.Option("--filter", metavar="FILTER", help="Whose answers count, of several.")
    ] = None,
    slices: Annotated[str | None, typer.Option(metavar="FIELD", help="Also by a field, or clusters[=K].")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="A page with the texts.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="All documents, as a table.")] = None,
    jsonl: Annotated[Path | None, typer.Option(metavar="FILE", help="All documents, a line each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Hardest documents first, by a signal, and what each is worth."""
    from lm_eval_dispersion.pages import write_beside
    from lm_eval_dispersion.rank import (
        Ranking,
        csv_of,
        json_of,
        jsonl_of,
        page_of,
        read_documents,
        slices_of,
        why_no_yardstick,
        yardstick,
    )

    documents = read_documents(results, task, filter_name)
    signal = documents.signal(by)
    cut = slices_of(documents, signal, slices) if slices is not None else None
    why = why_no_yardstick(documents)
    ranking = Ranking(documents, signal, None if why else yardstick(documents), why, cut)
    if html:
        write_beside(html, page_of(ranking, top))
    if csv:
        write_beside(csv, csv_of(ranking))
    if jsonl:
        write_beside(jsonl, jsonl_of(ranking))
    if as_json:
        print(json.dumps(json_of(ranking, top), indent=2))
        return
    _show(ranking, top)
    for file in filter(None, (html, csv, jsonl)):
        print(f"Written: {file}")


def _show(ranking: Ranking, top: int) -> None:
    from rich.console import Console
    from rich.text import Text

    from lm_eval_dispersion.runs import plain

    console = Console(highlight=False)
    console.print(Text(plain(ranking.documents.model), style="bold"))
    for line in (plain(ranking.head), plain(ranking.documents.file)):
        console.print(Text(line), soft_wrap=True)
    _show_documents(console, ranking, top)
    if ranking.slices:
        _show_slices(console, ranking, top)
    _show_yardstick(console, ranking)


def _table(*columns: tuple[str, bool]) -> Table:
    """Columns, each a heading and whether it holds numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading, numbers in columns:
        table.add_column(heading, justify="right" if numbers else "left")
    return table


def _show_documents(console: Console, ranking: Ranking, top: int) -> None:
    from rich.text import Text

    from lm_eval_dispersion.rank import value_in_words

    d = ranking.documents
    answer = [("answer", False)] if d.correct is not None else []
    table = _table(("", True), (ranking.by.name, True), *answer, ("doc", True), ("text", False))
    room = max(20, console.width - len(ranking.by.name) - _BESIDE_TEXT)
    for place, i in enumerate(ranking.order[:top], start=1):
        said = ["right" if d.correct[i] else "wrong"] if d.correct is not None else []
        text = Text(ranking.piece(i))
        text.truncate(room, overflow="ellipsis")
        value = value_in_words(ranking.by.name, ranking.by.values[i])
        table.add_row(*map(Text, (str(place), value, *said, str(d.ids[i]))), text)
    console.print()
    console.print(table)


def _show_slices(console: Console, ranking: Ranking, top: int) -> None:
    from rich.text import Text

    slices = ranking.slices
    assert slices is not None
    accuracy = [("accuracy [95 %]", True)] if ranking.documents.correct is not None else []
    table = _table(("slice", False), ("n", True), (f"mean {slices.signal} [95 %]", True), *accuracy)
    for one in slices.slices[:top]:
        mean = f"{one.mean:.4f}" + (f" ± {one.stderr:.4f} [{one.low:.4f}, {one.high:.4f}]" if one.n > 1 else "")
        table.add_row(*map(Text, (one.name, f"{one.n:,}", mean, *([str(one.accuracy)] if one.accuracy else []))))
    console.print(Text(f"\nSlices by {slices.by}", style="bold"))
    console.print(table)
    if len(slices.slices) > top:
        console.print(Text(f"and {len(slices.slices) - top} more (--top)"))
    console.print(Text(slices.sentence()))


def _show_yardstick(console: Console, ranking: Ranking) -> None:
    from rich.text import Text

    found = ranking.yardstick
    console.print()
    if found is None:
        console.print(Text(f"Yardstick: none ({ranking.why})"))
        return
    said = f"Which signal puts wrong answers first? {found.metric} {found.accuracy}, {found.n:,} documents"
    console.print(Text(said, style="bold"))
    headings = (("AUROC [95 %]", True), ("length held", True), ("acc. in hardest tenth", True))
    table = _table(("signal", False), ("n", True), *headings)
    for worth in found.worths:
        name = f"{worth.name} *" if worth.layers else worth.name
        numbers = (str(worth.auroc), str(worth.length_held), str(worth.hardest_tenth))
        table.add_row(*map(Text, (name, f"{worth.n:,}", *numbers)))
    console.print(table)
    for worth in found.worths:
        if worth.layers:
            console.print(Text(f"* the best of {worth.layers} layers, chosen after looking"))
    for sentence in found.sentences():
        console.print(Text(sentence))
