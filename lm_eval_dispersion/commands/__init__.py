"""``lm-eval-dispersion``: what a person asks of runs and of the installation. One file a command.

Each command imports what it needs when it runs, so that help and a mistake are said at once.
"""

from __future__ import annotations

import sys

import typer

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.commands import _doctor, _law, _screen, _show, _tasks

app = typer.Typer(
    help="Representation dispersion beside lm_eval: read runs, screen checkpoints, and check an installation.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("show")(_show.show)
app.command("law")(_law.law)
app.command("screen")(_screen.screen)
app.command("doctor")(_doctor.doctor)
app.command("tasks")(_tasks.tasks)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status: 2 for a mistake in the arguments, 1 for any other of the user's.

    Args:
        arguments: without the program's name; None for those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no block characters
    try:
        status = app(arguments or ["--help"], prog_name="lm-eval-dispersion", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except TaskError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:
        # Some versions of typer bring a click of their own: its exceptions have no other common name.
        if not hasattr(error, "format_message"):
            raise
        usage = " ".join(str(error.format_message()).split())
        print(f"lm-eval-dispersion: {usage} (see lm-eval-dispersion --help)", file=sys.stderr)
        return 2
    if status == 130:
        print("lm-eval-dispersion: interrupted", file=sys.stderr)
    return int(status or 0)
