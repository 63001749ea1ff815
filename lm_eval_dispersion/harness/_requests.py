"""Our request types: lm_eval's own, with D of what passes by.

``dispersion_loglikelihood`` and the others are attached to ``lm_eval.api.model.LM``, so lm_eval's evaluator
calls them by the name a task's instances carry. Each calls lm_eval's own method once for the pooled requests
of all tasks, returns what it returns, and leaves the measurements with the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.capture import Capture, Owner, Reduced, Unsupported, Window, capture_for
from lm_eval_dispersion.harness._cache import Answers
from lm_eval_dispersion.record import Recording, Segment

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

PREFIX = "dispersion_"
KINDS = ("loglikelihood", "loglikelihood_rolling", "generate_until")


def request_method(kind: str) -> Callable[[LM, list[Instance]], list[Any]]:
    """The method ``LM.dispersion_<kind>``."""

    def method(lm: LM, requests: list[Instance]) -> list[Any]:
        try:
            capture = capture_for(lm)
            call = _rolling if kind == "loglikelihood_rolling" else _prompts
            answers, recordings = call(lm, capture, kind, requests)
        except Unsupported as error:
            raise TaskError(str(error)) from None
        _deliver(lm, capture, requests, recordings)
        return answers

    method.__name__ = PREFIX + kind
    method.__doc__ = f"lm_eval's ``{kind}``, with dispersion recorded for the tasks the requests come from."
    return method


def _new_recordings(requests: Sequence[Instance]) -> dict[str, Recording]:
    return {request.task_name: Recording() for request in requests}


def _owners(
    requests: Sequence[Instance], todo: list[int], measured: set[int], recordings: dict[str, Recording]
) -> dict[int, Owner]:
    """Of the requests to be run that are measured, by their place among those to be run."""
    return {
        position: Owner(recordings[requests[index].task_name].sums, requests[index].doc_id)
        for position, index in enumerate(todo)
        if index in measured
    }


def _first_occurrences(requests: Sequence[Instance]) -> list[int]:
    """Indices without the copies lm_eval makes of an instance for ``repeats`` and data-parallel padding."""
    first: dict[int, int] = {}
    for index, request in enumerate(requests):
        first.setdefault(id(request), index)
    return list(first.values())


def _rolling(lm: LM, capture: Capture, kind: str, requests: list[Instance]) -> tuple[list[Any], dict[str, Recording]]:
    recordings = _new_recordings(requests)
    firsts = set(_first_occurrences(requests))
    answers = Answers(lm, kind, {"window": capture.window})
    todo = answers.missing(requests)
    scalars: dict[int, list[Segment]] = {i: [] for i in todo}

    def on_window(position: int, window: Window) -> None:
        index = todo[position]
        segment = Segment.of_window(window)
        scalars[index].append(segment)
        if index in firsts:
            recordings[requests[index].task_name].add_segment(requests[index].doc_id, segment)

    owners = _owners(requests, todo, firsts, recordings)
    with answers.without_stock_cache():
        fresh = capture.loglikelihood_rolling([requests[i] for i in todo], owners, on_window) if todo else []
    for index, answer in zip(todo, fresh, strict=True):
        answers.store(index, requests[index], answer, scalars[index])
    for index in sorted(firsts):
        request, recording = requests[index], recordings[requests[index].task_name]
        recording.add_text(request.args[0])
        recording.documents.add(request.doc_id)
        if index not in scalars:
            for segment in answers.measured(index):
                recording.add_segment(request.doc_id, segment)
            recording.counts["cached_answers"] += 1
    return answers.all(), recordings


def _prompts(lm: LM, capture: Capture, kind: str, requests: list[Instance]) -> tuple[list[Any], dict[str, Recording]]:
    recordings = _new_recordings(requests)
    wanted = _prompts_to_measure(requests, recordings)
    answers = Answers(lm, kind, {})
    todo = answers.missing(requests, wanted)
    ran = set(todo)
    measured: dict[int, Segment] = {}

    def on_prompt(position: int, reduced: Reduced) -> None:
        index = todo[position]
        measured[index] = segment = Segment.of(reduced)
        answers.note(requests[index], [segment])
        recordings[requests[index].task_name].add_segment(requests[index].doc_id, segment)

    run, owners = getattr(capture, kind), _owners(requests, todo, wanted, recordings)
    with answers.without_stock_cache():
        fresh = run([requests[i] for i in todo], owners, on_prompt) if todo else []
    for index, answer in zip(todo, fresh, strict=True):
        found = [measured[index]] if index in measured else []
        answers.store(index, requests[index], answer, found if index in wanted else None)
    for index in sorted(wanted):
        request, recording = requests[index], recordings[requests[index].task_name]
        recording.counts["prompts"] += 1
        recording.documents.add(request.doc_id)
        if index not in ran:
            for segment in answers.measured(index):
                recording.add_segment(request.doc_id, segment)
            recording.counts["cached_answers"] += 1
    return answers.all(), recordings


def _prompts_to_measure(requests: list[Instance], recordings: dict[str, Recording]) -> set[int]:
    """The first request that carries each distinct context of each document; a context may be empty."""
    wanted: set[int] = set()
    for index in _first_occurrences(requests):
        request = requests[index]
        context, recording = request.args[0], recordings[request.task_name]
        if not context:
            recording.counts["requests_without_context"] += 1
            continue
        digest = blake2b(context.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        seen = request.dispersion_task.seen_contexts
        if (request.doc_id, digest) not in seen:
            seen.add((request.doc_id, digest))
            wanted.add(index)
            recording.add_text(context)
    return wanted


def _deliver(lm: LM, capture: Capture, requests: list[Instance], recordings: dict[str, Recording]) -> None:
    """Hands each task its recording: its own documents on every process, all processes' on the first."""
    described = capture.describe() | {"window": capture.window}
    for recording in recordings.values():
        recording.described = described
    gathered = lm.gather_object(recordings, dst=0)
    tasks = {request.task_name: request.dispersion_task for request in requests}
    for name, task in tasks.items():
        everyone = [recordings] if gathered is None else gathered
        for theirs in everyone:
            if name in theirs:
                task.receive(theirs[name])
