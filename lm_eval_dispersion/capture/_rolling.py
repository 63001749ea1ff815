"""``loglikelihood_rolling`` with every window told: which document it is of, and which positions of it count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.capture._listen import prefix_length, prefix_tokens
from lm_eval_dispersion.capture._progress import TaskBars
from lm_eval_dispersion.capture._protocol import AttributionError, OnWindow, Owners, Window
from lm_eval_dispersion.capture._spans import Results, Span
from lm_eval_dispersion.seams.model_class import cut_at, listening_to

# Tokens that an engine is about to be handed, context and continuation, and what counts of them.
Inputs = Sequence[tuple[list[int], Span]]


class Reducer(Protocol):
    """What an engine's inputs are reduced by while they pass by; all that was expected, or it is an error."""

    def expect(self, inputs: Inputs) -> None:
        """Told before lm_eval hands them to the engine."""
        ...

    def results(self) -> Results:
        """Of what was expected so far."""
        ...


def rolling(
    lm: Any,
    requests: Sequence[Any],
    owners: Owners,
    on_window: OnWindow,
    reducer: Reducer,
    definition: Definition,
    *,
    max_length: int,
    padded: bool,
    bars: bool,
) -> list[float]:
    """Calls lm_eval's method with windows of a definition.

    Args:
        lm: an lm_eval model whose method encodes each document and then scores its windows.
        requests: lm_eval's.
        owners: of the requests whose vectors are added.
        on_window: called with each window of each request, at the end.
        reducer: reduces the windows that have a D.
        definition: how many tokens a window scores, and how many vectors it must have to have a D.
        max_length: what the model has to take for its limit so that it cuts such windows.
        padded: whether lm_eval may add windows of its own at the end, to even out data-parallel processes.
        bars: whether to draw a progress bar a task, in place of those of lm_eval's method, a bar a batch.

    Raises:
        AttributionError: where not every window was scored.
    """
    # In lm_eval's order: the document, and whether it begins here. What is scored beyond these is padding.
    windows: list[tuple[int, bool]] = []
    # Of each of them, in that order: log-likelihood, scored tokens, vectors.
    scored: list[tuple[float, int, int]] = []
    documents, prefixes, window = 0, prefix_tokens(lm), definition.window
    progress: TaskBars | None = None
    tasks = [request.task_name for request in requests]

    def encode(inner: Callable[..., list[int]], *args: Any, **kwargs: Any) -> list[int]:
        nonlocal documents
        tokens = inner(*args, **kwargs)
        windows.extend((documents, k == 0) for k in range(-(-len(tokens) // window)))
        documents += 1
        return tokens

    def score(inner: Callable[..., Any], requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal progress
        if bars:
            kwargs["disable_tqdm"] = True
            if progress is None:  # at the first window, and by then every document is cut
                named = [tasks[document] for document, _ in windows]
                progress = until_done.enter_context(TaskBars(named, disable=lm.rank != 0))
        here = windows[len(scored) : len(scored) + len(requests)]
        inputs: list[tuple[list[int], Span]] = []
        vectors = []
        for (document, first), (_, context, continuation) in zip(here, requests, strict=not padded):
            tokens = context + continuation
            start = 1 + prefix_length(prefixes, tokens[1:-1]) if first else len(context) - 1
            stop = len(tokens) - 1  # the last token is scored, but nothing is predicted from it
            vectors.append(max(0, stop - start))
            if vectors[-1] >= definition.min_vectors:
                mine = (owners[document],) if document in owners else ()
                number = len(scored) + len(vectors) - 1
                inputs.append((tokens, Span(-1, start, stop, owners=mine, requests=(number,))))
        reducer.expect(inputs)
        answers = inner(requests, *args, **kwargs)
        for count, (_, _, continuation), (loglikelihood, _) in zip(vectors, requests, answers, strict=False):
            scored.append((loglikelihood, len(continuation), count))
        if progress is not None:
            progress.update(len(here))
        return answers

    with (
        ExitStack() as until_done,
        cut_at(lm, max_length),
        listening_to(lm, encode=encode, score=score),
    ):
        answers = list(lm.loglikelihood_rolling(requests))
    if documents != len(requests) or len(scored) != len(windows):
        raise AttributionError(f"{len(scored)} of {len(windows)} windows of {documents} documents were scored")
    reduced = {number: found for span, found in reducer.results() for number in span.requests}
    for number, ((document, _), numbers) in enumerate(zip(windows, scored, strict=True)):
        on_window(document, Window(*numbers, reduced.get(number)))
    return answers
