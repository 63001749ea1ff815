"""The commands of those who ask for models: ``submit``, ``status``, ``requeue``, ``cancel``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from dispersion_leaderboard.commands import _options as options
from dispersion_leaderboard.commands._refused import one_line

_Ids = Annotated[list[str], typer.Argument(metavar="ID", help="A request, or all of a model.")]


def submit(
    queue: options.Queue,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="A Hub id; with a folder as queue also a folder.")
    ] = None,
    discover: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Also the models that these searches find.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", show_default="the newest commit", help="A branch, tag or commit.")
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(metavar="DTYPE", help="Of its weights: auto, float32, bfloat16 or float16."),
    ] = "auto",
    chat_template: Annotated[bool, typer.Option("--chat-template", help="Wrap prompts in the chat template.")] = False,
    suite: Annotated[str, typer.Option(metavar="NAME", help="What to evaluate on.")] = "dispersion",
    suites: options.Suites = None,
    gguf_file: Annotated[
        str, typer.Option(metavar="FILE", show_default=False, help="Which one, in a repository of several.")
    ] = "",
    largest: options.Largest = 100.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked for, and write nothing.")] = False,
) -> None:
    """Ask for models to be evaluated."""
    from tqdm import tqdm

    from dispersion_leaderboard.admission import Asked, Unreachable, check
    from dispersion_leaderboard.admission import discover as search
    from dispersion_leaderboard.admission import submit as ask
    from dispersion_leaderboard.requests import Queue, read_suites
    from dispersion_leaderboard.store import PREFIX, open_tree

    folders = not queue.startswith(PREFIX)
    known = read_suites(suites)
    if suite not in known:
        raise SystemExit(f"leaderboard: no suite {suite}; there are {', '.join(sorted(known))}")
    asked = Asked(known[suite], revision, precision, chat_template, gguf_file, int(largest * options.GB))
    found = search(discover) if discover else []
    names = list(dict.fromkeys([*(models or []), *found]))
    if not names and not discover:
        raise SystemExit("leaderboard: nothing to submit; give a MODEL, or --discover with a file of searches")
    requests = None if dry_run else Queue(open_tree(queue))
    try:
        answers = [check(name, asked, folders) for name in tqdm(names, desc="Checking", unit="model", delay=1)]
    except Unreachable as error:
        raise SystemExit(f"leaderboard: {error}") from error
    if requests:
        with one_line():
            answers = ask(requests, answers)
    for answer in answers:
        print(answer.line)
    if any(answer.request is None for answer in answers) and not discover:
        sys.exit(1)


def status(
    queue: options.Queue,
    wanted: Annotated[str | None, typer.Argument(metavar="ID", help="A request or a model, told with its log.")] = None,
) -> None:
    """Say where requests are."""
    from dispersion_leaderboard.requests import Queue, QueueView, find, told
    from dispersion_leaderboard.store import open_tree

    requests = Queue(open_tree(queue, write=False))
    with one_line():
        entries = requests.entries()
        keys = find(entries, wanted) if wanted else sorted(entries, key=lambda k: entries[k].since)
        logs = requests.logs(key for key in keys if entries[key].state.ended) if wanted else {}
    positions = QueueView(entries, {}).positions()
    for key in keys:
        entry = entries[key]
        place = f", position {positions[key]} of {len(positions)}" if key in positions else ""
        worker = f" by {entry.worker}" if entry.state.value == "running" else ""
        print(f"{key[:12]} {entry.since} {entry.model} ({entry.suite}): {told(entry)}{worker}{place}")
        if key in logs:
            print("  " + logs[key].replace("\n", "\n  "))
    if not wanted:
        states = [entry.state.value for entry in entries.values()]
        print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))) or "empty")


def requeue(queue: options.Queue, wanted: _Ids) -> None:
    """Put what has failed, was rejected or cancelled back into the queue."""
    from dispersion_leaderboard.requests import requeue as turn

    _turn(queue, wanted, turn)


def cancel(queue: options.Queue, wanted: _Ids) -> None:
    """Take what is pending or running out of the queue."""
    from dispersion_leaderboard.requests import cancel as turn

    _turn(queue, wanted, turn)


def _turn(queue: str, wanted: list[str], turn: Callable[..., list[str]]) -> None:
    from dispersion_leaderboard.requests import Queue
    from dispersion_leaderboard.store import open_tree

    requests = Queue(open_tree(queue, write=False))
    with one_line():
        print("\n".join(turn(requests, wanted)))
