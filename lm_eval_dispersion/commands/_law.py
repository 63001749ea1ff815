"""``law``: the paper's law on every corpus task of some runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lm_eval_dispersion._errors import TaskError


def law(
    output_path: Annotated[Path, typer.Argument(help="What lm_eval's --output_path was, with --log_samples.")],
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw D by layer and D against log-perplexity.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also print every layer.")] = False,
) -> None:
    """D against log-perplexity, by window and in bins, with intervals."""
    from importlib.util import find_spec

    from lm_eval_dispersion.law import by_layer, draw, law, read_windows, table

    if picture and find_spec("matplotlib") is None:
        raise TaskError("--picture needs matplotlib; pip install 'lm-eval-dispersion[demo]'")
    laws = [law(windows) for windows in read_windows(output_path)]
    print(table(laws))
    if layers:
        print(by_layer(laws))
    if picture:
        try:
            draw(laws, picture)
        except (OSError, ValueError) as error:
            raise TaskError(f"cannot draw {picture}: {error}") from None
        print(f"\nPicture: {picture}")
