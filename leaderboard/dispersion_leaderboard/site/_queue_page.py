"""The queue as a page: where every request is, and why a model is not on the board."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import ATTEMPTS, Entry, QueueView, Reason, State
from dispersion_leaderboard.site._output import Output, script, script_item
from dispersion_leaderboard.site._pages import Pages

ASSETS = frozenset({"assets/queue.js", "assets/queue.css"})
"""What only this page uses."""
_FIRST_ROWS = 200
_FIRST_LINES = 12
"""Of a log in those rows."""
_LINES = 40
"""Of a log that is loaded when it is opened."""
_EAGER = 500
"""Queues of no more requests than this are loaded all at once; longer ones when the visitor reaches for a control."""
_KEY = re.compile(r"[0-9a-f]{32}")

STATES: dict[State, str] = {
    State.PENDING: "waits for a worker; the position says how many are before it.",
    State.RUNNING: "a worker is evaluating it.",
    State.FINISHED: "its results are stored; they are on the board from the next build of these pages.",
    State.FAILED: "it was tried and gave no results; the table says why.",
    State.REJECTED: "it was not tried; the table says why.",
    State.CANCELLED: "the operator took it out of the queue.",
}
"""What each state means, for a visitor."""

REASONS: dict[Reason, str] = {
    Reason.GATED: "Its files are behind an agreement on the Hub, which nobody is there to accept.",
    Reason.TOO_LARGE: "Its files are larger than the workers of this board take.",
    Reason.NOT_CAUSAL_LM: "It is no causal language model, or its configuration does not say that it is one.",
    Reason.UNSAFE_WEIGHTS: "It has no weights as safetensors or GGUF; other formats can run code when they are loaded.",
    Reason.REMOTE_CODE: "It needs code from its own repository (trust_remote_code), which is not run here.",
    Reason.NOT_FOUND: "No such model, revision or file can be seen from here; it may be private.",
    Reason.OOM: "It needed more memory than the worker has.",
    Reason.LOAD: "Its files could not be loaded as a model.",
    Reason.TIMEOUT: "It did not end within the time that one run is given.",
    Reason.NAN: "It gave numbers that are not finite, so there is nothing to compare.",
    Reason.CHAT_TEMPLATE: "Its chat template is missing, or could not be applied.",
    Reason.EVALUATION: "lm_eval stopped with an error while it was evaluated.",
    Reason.INFRASTRUCTURE: f"A machine or the network failed, not the model; it is tried {ATTEMPTS} times in all.",
}
"""Why a model is not on the board, for a visitor."""

FIELDS = ("key", "model", "path", "suite", "state", "position", "reason", "detail", "since", "attempts", "log")
"""What each row of the data holds, in this order."""


def write_queue(output: Output, pages: Pages, view: QueueView, paths: Mapping[str, str]) -> None:
    """The page with the newest requests, all of them as data, and each log as a file that is loaded when it is opened.

    Args:
        output: where to.
        pages: renders.
        view: the queue; anyone may have written it.
        paths: pages of models, by name.
    """
    # A key makes a path: only what is one counts.
    entries = {key: entry for key, entry in view.entries.items() if _KEY.fullmatch(key)}
    # What has finished has a page with every number: its log would only be thousands of files more.
    wanted = {key for key, entry in entries.items() if entry.state is not State.FINISHED}
    logs = {key: text for key in wanted if (text := _cleaned(view.logs.get(key, "")))}
    positions = QueueView(entries, {}).positions()
    newest = sorted(sorted(entries), key=lambda key: entries[key].since, reverse=True)
    rows = [_row(key, entries[key], positions, paths, logs) for key in newest]
    for key, text in sorted(logs.items()):
        output.write(f"data/logs/{key[:2]}/{key}.js", script_item("LOGS", key, text))
    reasons = {reason.value: sentence for reason, sentence in REASONS.items()}
    plain = [[row[name] for name in FIELDS] for row in rows]
    output.write("data/queue.js", script("QUEUE", {"fields": FIELDS, "reasons": reasons, "rows": plain}))
    counts = Counter(entry.state for entry in entries.values())
    page = pages.render(
        "queue.html",
        "queue.html",
        states=[(state.value, counts[state], said) for state, said in STATES.items()],
        reasons=reasons,
        rows=rows[:_FIRST_ROWS],
        tails={row["key"]: _tail(logs[row["key"]]) for row in rows[:_FIRST_ROWS] if row["log"]},
        pending=len(positions),
        total=len(rows),
        eager=len(rows) <= _EAGER,
    )
    output.write("queue.html", page)


def _row(
    key: str, entry: Entry, positions: Mapping[str, int], paths: Mapping[str, str], logs: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "key": key,
        "model": entry.model,
        "path": paths.get(entry.model, ""),
        "suite": entry.suite,
        "state": entry.state.value,
        "position": positions.get(key),
        "reason": entry.reason.value if entry.reason else "",
        "detail": entry.detail,
        "since": entry.since,
        "attempts": entry.attempts,
        "log": int(key in logs),
    }


def _cleaned(log: str) -> str:
    """Line by line: whoever wrote it has cleaned it, if it was one of ours."""
    return "\n".join(clean(line) for line in log.splitlines()[-_LINES:])


def _tail(log: str) -> str:
    return "\n".join(log.splitlines()[-_FIRST_LINES:])
