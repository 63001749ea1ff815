"""The pages of every command and option: ``make docs`` writes them from the commands' own help."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import typer.cli

PAGES = {
    "commands-leaderboard.md": ("dispersion-leaderboard", "dispersion_leaderboard.commands"),
    "commands-plugin.md": ("lm-eval-dispersion", "lm_eval_dispersion.commands"),
}
"""Of each page the console script, and the module whose ``app`` it runs."""


def page(script: str, module: str) -> str:
    """The Markdown of all that a console script can be told."""
    command = typer.main.get_command(import_module(module).app)
    with command.make_context(script, [], resilient_parsing=True) as context:
        return typer.cli.get_docs_for_click(obj=command, ctx=context, name=script).strip() + "\n"


if __name__ == "__main__":
    for name, (script, module) in PAGES.items():
        (Path(__file__).parent / name).write_text(page(script, module), encoding="utf-8")
