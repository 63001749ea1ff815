"""``dispersion-leaderboard``: records, build, predict; publish, serve; submit, status, requeue, cancel; work.

``app`` is what the commands are, ``main`` runs one. Each imports what it needs when it runs, so that ``--help`` comes
at once.
"""

from __future__ import annotations

import sys

import typer

from dispersion_leaderboard.commands._pages import publish, serve
from dispersion_leaderboard.commands._requests import cancel, requeue, status, submit
from dispersion_leaderboard.commands._results import build, predict, records
from dispersion_leaderboard.commands._several import Command
from dispersion_leaderboard.commands._work import work

__all__ = ["NAME", "app", "main"]

NAME = "dispersion-leaderboard"

app = typer.Typer(
    help="From lm_eval's results to a public leaderboard.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
)
for panel, commands in {
    "Results": (records, build, predict),
    "Pages": (publish, serve),
    "A queue of models": (submit, status, work, requeue, cancel),
}.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=panel)(command)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command line; a mistake ends in one line and exit status 2 where no such line can be typed, else 1.

    It enters the command itself rather than by calling ``app``, which says a mistake in a box of several lines and
    takes Ctrl-C for its own.
    """
    command = typer.main.get_command(app)
    try:
        with command.make_context(NAME, sys.argv[1:] if arguments is None else list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as stop:
        raise SystemExit(stop.exit_code) from None
    except typer.TyperException as error:
        print(_usage(error), file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "dispersion_leaderboard":
            raise
        raise SystemExit(
            f"leaderboard: {error.name} is missing; pip install 'dispersion-leaderboard[local]'"
        ) from error
    except KeyboardInterrupt:
        raise SystemExit("leaderboard: interrupted; what was finished is kept") from None
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        # A full disk, a folder that may not be written: the system's own words are the clearest.
        raise SystemExit(f"leaderboard: {error.strerror or error}: {error.filename or ''}".rstrip(": ")) from error


def _usage(error: typer.TyperException) -> str:
    """What is wrong with a line as typed, in one."""
    words = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"leaderboard: {words[:1].lower()}{words[1:]} (see `{context.command_path if context else NAME} --help`)"
