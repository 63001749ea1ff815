"""Putting models into the queue, each looked at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from dispersion_leaderboard.admission._inspect import Admitted, inspect, inspect_folder
from dispersion_leaderboard.admission._model_files import Refused
from dispersion_leaderboard.requests import (
    BadRequest,
    Change,
    Entries,
    Entry,
    Queue,
    Request,
    State,
    Suite,
    stamp,
    told,
)

_AT_ONCE = 200
"""Requests in one commit."""


@dataclass(frozen=True)
class Asked:
    """What is asked for beside the model."""

    suite: Suite
    revision: str | None = None
    """A branch, a tag or a commit; None for the newest."""
    precision: str = "auto"
    chat_template: bool = False
    gguf_file: str = ""
    largest: int = 100 * 10**9
    """Bytes of a model's files."""


@dataclass(frozen=True)
class Answer:
    """What became of one model that was asked for."""

    model: str
    line: str
    """For whoever asked."""
    request: Request | None = None
    """None where it cannot be asked for: there is no such model."""
    entry: Entry | None = None
    """A new entry; None where there is one already."""


def check(model: str, asked: Asked, folders: bool) -> Answer:
    """Resolves a model to a commit and says whether it can be evaluated, without the queue.

    Args:
        model: a Hub id; or a folder's path, where ``folders`` allows it.
        asked: the rest.
        folders: whether workers can see this machine's folders.

    Raises:
        Unreachable: where the Hub cannot be asked.
    """
    place = Path(model)
    local = folders and place.is_dir()
    name, sha, gguf_file, refused = (place.resolve().name if local else model), "", asked.gguf_file, None
    try:
        found: Admitted
        if local:
            found = inspect_folder(place, largest=asked.largest, gguf_file=gguf_file)
        else:
            found = inspect(model, asked.revision, largest=asked.largest, gguf_file=gguf_file)
        # The Hub's own spelling, so that another one is the same request.
        name, sha, gguf_file = found.name, found.sha, found.gguf_file
    except Refused as why:
        refused, sha = why, why.sha or ""
    try:
        request = Request(
            name,
            sha,
            asked.suite.id,
            asked.precision,
            asked.chat_template,
            gguf_file,
            str(place.resolve()) if local else "",
        )
    except BadRequest as error:
        # Nothing that a request could name: no commit, or no such model.
        return Answer(
            model, f"{model}: rejected ({refused.reason.value}): {refused.detail}" if refused else f"{model}: {error}"
        )
    entry = Entry.new(request, stamp(datetime.now(timezone.utc)))
    if refused:
        entry = entry.over(State.REJECTED, entry.since, refused.reason, refused.detail)
        return Answer(model, f"{model}: rejected ({refused.reason.value}): {refused.detail}", request, entry)
    return Answer(model, f"{model}: {request.key[:12]}", request, entry)


def submit(queue: Queue, answers: Sequence[Answer]) -> list[Answer]:
    """Puts what was checked into the queue, in as few commits as can be; what is there already is left alone.

    Returns:
        The answers, those of duplicates replaced.
    """
    said: list[Answer] = []
    for start in range(0, len(answers), _AT_ONCE):
        some = answers[start : start + _AT_ONCE]
        before = _add(queue, some)
        for answer in some:
            old = before.get(answer.request.key) if answer.request else None
            if answer.request and old:
                line = f"{answer.model}: {answer.request.key[:12]} is in the queue already: {told(old)}"
                said.append(Answer(answer.model, line, answer.request))
            else:
                said.append(answer)
    return said


def _add(queue: Queue, answers: Sequence[Answer]) -> Entries:
    """One commit; returns what was in the queue before."""
    asked = {answer.request.key: answer for answer in answers if answer.request}
    before: dict[str, Entry] = {}
    looks = 0

    def decide(entries: Entries) -> Change:
        nonlocal looks
        looks += 1
        # After a commit whose answer got lost one finds one's own entries, equal to the last letter.
        there = {key: entries[key] for key in asked if key in entries}
        before.update({key: old for key, old in there.items() if looks == 1 or old != asked[key].entry})
        new = {key: answer for key, answer in asked.items() if key not in there}
        return Change(
            f"{len(new)} new requests",
            {key: answer.entry for key, answer in new.items() if answer.entry},
            {key: answer.request for key, answer in new.items() if answer.request},
        )

    queue.change(decide)
    return before
