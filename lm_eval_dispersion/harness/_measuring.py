"""A call of lm_eval's method with D of what passes by: which requests are measured, and where each number belongs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.capture import Owner, Reduced, Sums, Window
from lm_eval_dispersion.geometry import Vectors
from lm_eval_dispersion.harness._cache import Answers
from lm_eval_dispersion.harness._evaluation import Look
from lm_eval_dispersion.record import Recording, Segment

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

# By task.
Recordings = dict[str, Recording]
# The answers, in the order of the requests, and what was measured.
Measured = tuple[list[Any], Recordings]


def measured(look: Look, kind: str, requests: list[Instance], definition: Definition) -> Measured:
    """Calls lm_eval's method once.

    Args:
        look: at the model, with a capture.
        kind: the method's name.
        requests: of tasks of one definition.
        definition: as asked for; the model's limit may cut its windows.

    Returns:
        The answers, in the order of the requests, and a recording a task.

    Raises:
        capture.Unsupported, capture.AttributionError: where the hidden states cannot be had, or cannot be told apart.
    """
    capture = look.capture
    assert capture is not None
    definition = definition.cut_at(capture.limit)
    call = _rolling if kind == "loglikelihood_rolling" else _prompts
    answers, recordings = call(look, kind, requests, definition)
    for recording in recordings.values():
        recording.described, recording.definition = look.described, definition
        recording.shown = capture.layers(definition) or list(range(recording.layers))
        recording.signal_layers = capture.signal_layers(definition)
    return answers, recordings


def _new_recordings(requests: Sequence[Instance], single_vectors: bool = False) -> Recordings:
    return {
        request.task_name: Recording(sums=Sums(vectors=Vectors() if single_vectors else None)) for request in requests
    }


def _owners(
    requests: Sequence[Instance], todo: list[int], measured: set[int], recordings: Recordings
) -> dict[int, Owner]:
    """Of the requests to be run that are measured, by their place among those to be run."""
    return {
        position: Owner(recordings[requests[index].task_name].sums, requests[index].doc_id)
        for position, index in enumerate(todo)
        if index in measured
    }


def first_occurrences(requests: Sequence[Instance]) -> list[int]:
    """Indices without the copies lm_eval makes of an instance for ``repeats`` and data-parallel padding."""
    first: dict[int, int] = {}
    for index, request in enumerate(requests):
        first.setdefault(id(request), index)
    return list(first.values())


def _rolling(look: Look, kind: str, requests: list[Instance], definition: Definition) -> Measured:
    recordings = _new_recordings(requests)
    firsts = set(first_occurrences(requests))
    answers = Answers(look, kind, definition)
    todo = answers.missing(requests)
    scalars: dict[int, list[Segment]] = {i: [] for i in todo}

    def on_window(position: int, window: Window) -> None:
        index = todo[position]
        segment = Segment.of_window(window)
        scalars[index].append(segment)
        if index in firsts:
            recordings[requests[index].task_name].add_segment(requests[index].doc_id, segment)

    owners = _owners(requests, todo, firsts, recordings)
    assert look.capture is not None
    with answers.without_stock_cache():
        some = [requests[i] for i in todo]
        fresh = look.capture.loglikelihood_rolling(some, owners, on_window, definition) if todo else []
    for index, answer in zip(todo, fresh, strict=True):
        answers.store(index, requests[index], answer, scalars[index])
    for index in sorted(firsts):
        request, recording = requests[index], recordings[requests[index].task_name]
        recording.add_text(request.args[0])
        _note_document(recording, request.doc_id, None if index in scalars else answers.measured(index))
    return answers.all(), recordings


def _prompts(look: Look, kind: str, requests: list[Instance], definition: Definition) -> Measured:
    # Which are right is known to the process that has them alone.
    recordings = _new_recordings(requests, single_vectors=look.lm.world_size == 1)
    wanted = _prompts_to_measure(requests, recordings)
    answers = Answers(look, kind, definition)
    todo = answers.missing(requests, wanted)
    ran = set(todo)
    measured: dict[int, Segment] = {}

    def on_prompt(position: int, reduced: Reduced) -> None:
        index = todo[position]
        measured[index] = segment = Segment.of(reduced)
        answers.note(requests[index], [segment])
        recordings[requests[index].task_name].add_segment(requests[index].doc_id, segment)

    run, owners = getattr(look.capture, kind), _owners(requests, todo, wanted, recordings)
    with answers.without_stock_cache():
        fresh = run([requests[i] for i in todo], owners, on_prompt, definition) if todo else []
    for index, answer in zip(todo, fresh, strict=True):
        found = [measured[index]] if index in measured else []
        answers.store(index, requests[index], answer, found if index in wanted else None)
    for index in sorted(wanted):
        request, recording = requests[index], recordings[requests[index].task_name]
        recording.counts["prompts"] += 1
        _note_document(recording, request.doc_id, None if index in ran else answers.measured(index))
    return answers.all(), recordings


def _note_document(recording: Recording, document: int, cached: list[Segment] | None) -> None:
    """A document was seen; its segments are there already, or else came from the cache."""
    recording.documents.add(document)
    if cached is not None:
        for segment in cached:
            recording.add_segment(document, segment)
        recording.counts["cached_answers"] += 1


def _prompts_to_measure(requests: list[Instance], recordings: Recordings) -> set[int]:
    """The first request that carries each distinct context of each document; a context may be empty."""
    wanted: set[int] = set()
    for index in first_occurrences(requests):
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
