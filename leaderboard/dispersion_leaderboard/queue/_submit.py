"""Putting models into the queue, and taking back what was decided about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from dispersion_leaderboard.queue._admission import Admitted, Refused, inspect, inspect_folder
from dispersion_leaderboard.queue._queue import Change, Entries, Queue
from dispersion_leaderboard.queue._request import BadRequest, Request
from dispersion_leaderboard.queue._states import Entry, State, stamp
from dispersion_leaderboard.queue._suites import Suite

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


def told(entry: Entry) -> str:
    """A state in one line."""
    return entry.state.value + (f" ({entry.reason.value}): {entry.detail}" if entry.reason else "")


def find(entries: Entries, wanted: str) -> list[str]:
    """Keys of the requests that an id, the beginning of one, or a model's name means.

    Raises:
        SystemExit: where there is none.
    """
    found = [
        key for key, entry in entries.items() if entry.model == wanted or (len(wanted) >= 6 and key.startswith(wanted))
    ]
    if not found:
        raise SystemExit(f"leaderboard: no request {wanted} in the queue; `status` lists them")
    return sorted(found, key=lambda key: (entries[key].submitted, key))


def requeue(queue: Queue, wanted: Iterable[str]) -> list[str]:
    """Puts what has failed, was rejected or cancelled back into the queue, with all its attempts; returns lines."""
    return _turn(
        queue,
        wanted,
        (State.FAILED, State.REJECTED, State.CANCELLED),
        lambda entry, now: entry.requeued(now),
        "what is finished has its results: delete those first",
    )


def cancel(queue: Queue, wanted: Iterable[str]) -> list[str]:
    """Takes what is pending or running out of the queue; a worker that runs it stops; returns lines."""
    return _turn(
        queue,
        wanted,
        (State.PENDING, State.RUNNING),
        lambda entry, now: entry.over(State.CANCELLED, now),
        "it has ended",
    )


def _turn(
    queue: Queue, wanted: Iterable[str], of: Sequence[State], turned: Callable[[Entry, str], Entry], otherwise: str
) -> list[str]:
    now = stamp(datetime.now(timezone.utc))
    asked = list(wanted)
    lines: dict[str, str] = {}

    def decide(entries: Entries) -> Change:
        keys = dict.fromkeys(key for one in asked for key in find(entries, one))
        changed = {key: turned(entries[key], now) for key in keys if entries[key].state in of}
        for key in keys:
            line = f"{key[:12]} {entries[key].model}: "
            if key in changed:
                lines[key] = line + told(changed[key])
            else:
                lines.setdefault(key, f"{line}{told(entries[key])}; {otherwise}")
        return Change(f"{len(changed)} requests turned", changed)

    queue.change(decide)
    return list(lines.values())
