"""The last lines of a log, fit to be shown to anyone."""

from __future__ import annotations

import re
from collections.abc import Collection

from dispersion_leaderboard.records import clean

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_WIDEST = 300


def scrubbed(text: str, most: int = 40, longest: int = 4000, secrets: Collection[str] = ()) -> str:
    """The end of a log without credentials, places on somebody's machine, escapes and invisible characters.

    Args:
        text: what was printed; of a progress bar that was drawn over and over the last state is kept.
        most: lines.
        longest: characters in all.
        secrets: what must not stand there, whatever it looks like.
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, "[redacted]")
    found: list[str] = []
    for line in reversed(_split(text)):
        shown = clean(line)[:_WIDEST]
        if shown:
            found.append(shown)
        if len(found) == most:
            break
    while len("\n".join(found)) > longest:
        found.pop()
    return "\n".join(reversed(found))


def _split(text: str) -> list[str]:
    plain = _ESCAPES.sub("", text[-400_000:])
    return [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]
