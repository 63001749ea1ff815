"""``dispersion-leaderboard`` as typed: in this process, by its installed script, or only read."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from dispersion_leaderboard.commands import NAME, app, main
from huggingface_hub import constants

SCRIPT = str(Path(sys.executable).with_name(NAME))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
Done = subprocess.CompletedProcess[str]


def typed(*arguments: str) -> Done:
    """What a command says and how it ends, in this process and so without the seconds of its imports."""
    out, error, status = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(error):
        try:
            main(list(arguments))
        except SystemExit as stop:
            # As Python itself ends: a number is the status, anything else is said.
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
    return subprocess.CompletedProcess([NAME, *arguments], status, out.getvalue(), error.getvalue())


def hub_client(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Sets the Hub's client of this process as a new one would read it from its environment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for token in {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} - set(environment):
        monkeypatch.delenv(token, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
        if key == "HF_ENDPOINT":
            monkeypatch.setattr(constants, "ENDPOINT", value)
            template = f"{value}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        elif key == "HF_HOME":
            monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{value}/hub")
            monkeypatch.setattr(constants, "HF_TOKEN_PATH", f"{value}/token")
        elif key in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET"):
            monkeypatch.setattr(constants, key, value == "1")


def values(words: list[str]) -> dict[str, Any]:
    """The values that a line gives a command, which is not run; a line that cannot be typed is refused as by ``main``.

    Args:
        words: the line without ``dispersion-leaderboard``.
    """
    name, *rest = words
    return dict(COMMANDS[name].make_context(f"{NAME} {name}", rest).params)


def lines(script: str) -> list[list[str]]:
    """What of a shell script calls our command, word by word, without the command itself."""
    found = re.findall(rf"\b{NAME} (.*?)(?:\|\||&&|[|;]|$)", script.replace("\\\n", " "), re.M)
    return [shlex.split(line, comments=True) for line in found]
