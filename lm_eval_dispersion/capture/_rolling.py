"""``loglikelihood_rolling`` with every window told: which document it is of, and which positions of it count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from lm_eval_dispersion.capture._listen import listening, prefix_length
from lm_eval_dispersion.capture._progress import TaskBars
from lm_eval_dispersion.capture._protocol import MIN_VECTORS, AttributionError, OnWindow, Owners, Reduced, Window
from lm_eval_dispersion.capture._sums import Owner


@dataclass(frozen=True)
class Wanted:
    """A window that has a D."""

    index: int
    """In the call."""
    tokens: list[int]
    start: int
    """The first position that counts."""
    stop: int
    """The position after the last one that counts: the last token is scored, but nothing is predicted from it."""
    owners: tuple[Owner, ...]


# Hands over what is reduced while lm_eval's call runs inside it.
Reducing = Callable[[list[Wanted], Callable[[int, Reduced], None]], AbstractContextManager[None]]


def rolling(
    lm: Any,
    requests: Sequence[Any],
    owners: Owners,
    on_window: OnWindow,
    reducing: Reducing,
    prefixes: set[int],
    *,
    window: int,
    max_length: int,
    padded: bool,
    bars: bool,
) -> list[float]:
    """Calls lm_eval's method with windows of ``window`` tokens.

    Args:
        lm: an lm_eval model whose method goes through ``tok_encode`` and ``_loglikelihood_tokens``.
        requests: lm_eval's.
        owners: of the requests whose vectors are added.
        on_window: called with each window of each request.
        reducing: reduces the windows that have a D.
        prefixes: tokens that count nowhere where they lead a document.
        window: tokens that a window scores.
        max_length: what the model has to take for its limit so that it cuts such windows.
        padded: whether lm_eval may add windows of its own at the end, to even out data-parallel processes.
        bars: whether to draw a progress bar a task, in place of those of lm_eval's method, a bar a batch.

    Raises:
        AttributionError: where not every window was scored.
    """
    # (request, is its first window), in lm_eval's order; what follows it is padding.
    windows: list[tuple[int, bool]] = []
    documents = done = 0
    progress: TaskBars | None = None
    tasks = [request.task_name for request in requests]

    def encode(inner: Callable[..., list[int]], *args: Any, **kwargs: Any) -> list[int]:
        nonlocal documents
        tokens = inner(*args, **kwargs)
        windows.extend((documents, k == 0) for k in range(-(-len(tokens) // window)))
        documents += 1
        return tokens

    def score(inner: Callable[..., Any], requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal done, progress
        if bars:
            kwargs["disable_tqdm"] = True
            if progress is None:  # at the first window, and by then every document is cut
                named = [tasks[document] for document, _ in windows]
                progress = until_done.enter_context(TaskBars(named, disable=lm.rank != 0))
        here = windows[done : done + len(requests)]
        done += len(here)
        wanted: list[Wanted] = []
        lengths = []
        for index, ((document, first), (_, context, continuation)) in enumerate(zip(here, requests, strict=not padded)):
            tokens = context + continuation
            start = 1 + prefix_length(prefixes, tokens[1:-1]) if first else len(context) - 1
            stop = len(tokens) - 1
            lengths.append(max(0, stop - start))
            if lengths[-1] >= MIN_VECTORS:
                mine = (owners[document],) if document in owners else ()
                wanted.append(Wanted(index, tokens, start, stop, mine))
        reduced: dict[int, Reduced] = {}
        with reducing(wanted, reduced.__setitem__):
            answers = inner(requests, *args, **kwargs)
        if progress is not None:
            progress.update(len(here))
        for index, (request, _) in enumerate(here):
            scored = len(requests[index][2])
            on_window(request, Window(answers[index][0], scored, lengths[index], reduced.get(index)))
        return answers

    stock_limit = lm._max_length
    lm._max_length = max_length
    try:
        with ExitStack() as until_done, listening(lm, tok_encode=encode, _loglikelihood_tokens=score):
            answers = list(lm.loglikelihood_rolling(requests))
    finally:
        lm._max_length = stock_limit
    if documents != len(requests) or done != len(windows):
        raise AttributionError(f"{done} of {len(windows)} windows of {documents} documents were scored")
    return answers
