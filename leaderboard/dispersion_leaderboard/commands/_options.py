"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

GB = 10**9


def amount(value: float) -> float:
    """Refuses a number that is less than nothing, infinite or none."""
    if not 0 <= value < float("inf"):
        raise typer.BadParameter(f"{value} is no amount")
    return value


Results = Annotated[
    list[str],
    typer.Option(metavar="DIR...", help="What lm_eval's --output_path was, or hf://datasets/OWNER/NAME."),
]
Overrides = Annotated[
    Path | None, typer.Option(metavar="YAML", help="Families, sizes, licences, chance levels of your own.")
]
Site = Annotated[Path, typer.Option(metavar="SITE", help="What build wrote.")]
Queue = Annotated[str, typer.Option(metavar="PLACE", help="A folder, or hf://datasets/ORG/NAME.")]
Suites = Annotated[Path | None, typer.Option(metavar="YAML", help="Suites beside the shipped ones.")]
Largest = Annotated[float, typer.Option(metavar="GB", callback=amount, help="Of a model's files together.")]
