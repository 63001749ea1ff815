"""The commands that show the pages: ``publish``, ``serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispersion_leaderboard.commands import _options as options


def publish(
    space: Annotated[str, typer.Option(metavar="ORG/NAME", help="Which; it is made where there is none.")],
    site: options.Site = Path("site"),
    private: Annotated[bool, typer.Option("--private", help="Where the Space is made now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be uploaded and deleted.")] = False,
) -> None:
    """Upload the pages to a Space of the Hub."""
    from dispersion_leaderboard.publish import publish as upload

    upload(site, space, private=private, dry_run=dry_run)


def serve(
    site: options.Site = Path("site"),
    port: Annotated[int, typer.Option(metavar="PORT", help="On 127.0.0.1; 0 for one that is free.")] = 7860,
) -> None:
    """Show the pages on this machine."""
    from dispersion_leaderboard.publish import serve as show

    show(site, port)
