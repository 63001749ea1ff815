"""Comparisons in a terminal: the verdict, then tables with intervals drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lm_eval_dispersion.commands._chart import interval
from lm_eval_dispersion.compare import (
    Comparison,
    Pair,
    method,
    more_documents,
    place,
    probability,
    shown,
    verdict,
    warnings,
)

# A terminal narrower than this has no drawings.
_NARROW = 76

Drawn = tuple[float, tuple[float, float] | None]
"""A number and its interval."""


def show(found: Sequence[Comparison]) -> None:
    """Prints them, one below the other."""
    console = Console(highlight=False)
    for one in found:
        console.print(Text(one.corpus, style="bold cyan"))
        console.print(Text(f"\n{verdict(one)}\n", style="bold"))
        for line in warnings(one):
            console.print(Text(f"Note: {line}.\n", style="yellow"))
        console.print(_models(console, one))
        for first, pairs in one.shown():
            console.print(
                Text(f"\nAgainst {first}" if first else "\nEach against the one before it above", style="cyan")
            )
            console.print(_differences(console, first, pairs))
        console.print(Text(f"\n{method(one)}\n", style="dim"))


class _Axis(NamedTuple):
    """Of all intervals of a table."""

    least: float
    greatest: float
    width: int

    @classmethod
    def of(cls, console: Console, drawn: Sequence[Drawn]) -> _Axis:
        ends = [x for value, around in drawn for x in (value, *(around or ()))] or [0.0]
        width = int(0.3 * min(console.width, 120)) - 12 if console.width >= _NARROW else 0
        return cls(min(ends), max(ends), width)

    @property
    def head(self) -> str:
        """Its ends."""
        if not self.width or self.least == self.greatest:
            return ""
        decimals = max(0, 1 - floor(log10(self.greatest - self.least)))
        least, greatest = f"{self.least:.{decimals}f}", f"{self.greatest:.{decimals}f}"
        return f"{least}{greatest:>{self.width - len(least)}}"

    def draw(self, value: float, around: tuple[float, float] | None, reference: float | None = None) -> str:
        return interval(value, around, (self.least, self.greatest), self.width, reference) if self.width else ""


def _table(*columns: str, wraps: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column not in wraps, overflow="fold")
    return table


def _models(console: Console, found: Comparison) -> Table:
    bits = [(model.bits.value, model.interval) for model in found.models if model.bits.value is not None]
    axis = _Axis.of(console, bits)
    table = _table("place", "model", "bits per byte", axis.head, "D", "D across", wraps=["model"])
    for model in found.models:
        within, across = model.entry.measured.within, model.entry.measured.across
        table.add_row(
            place(model),
            Text(model.label),
            shown(model.bits.value, model.bits.stderr),
            "" if model.bits.value is None else axis.draw(model.bits.value, model.interval),
            shown(within.value, within.stderr),
            shown(across.value, across.stderr),
        )
    return table


def _differences(console: Console, first: str | None, pairs: Sequence[Pair]) -> Table:
    axis = _Axis.of(console, [(0.0, None), *((p.bits.value, p.bits.interval) for p in pairs if p.bits)])
    more = [more_documents(pair.bits) if pair.bits else "" for pair in pairs]
    columns = ["model", "bits a byte more", axis.head, "p", "D more", *(["more documents"] if any(more) else [])]
    table = _table(*columns, wraps=["model", "D more"])
    for pair, documents in zip(pairs, more, strict=True):
        bits, d = pair.bits, pair.dispersion
        table.add_row(
            Text(pair.second),
            shown(bits.value, bits.stderr, "+") if bits else "no document in common",
            axis.draw(bits.value, bits.interval, 0.0) if bits else "",
            probability(bits.p) if bits else "",
            Text(shown(d.value, d.stderr, "+") if d else pair.why or ""),
            *([documents] if any(more) else []),
        )
    return table
