"""Which positions of an input count and whose they are; and the inputs that are to pass by, known by their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from torch import Tensor

from lm_eval_dispersion.capture._protocol import OnPrompt, Reduced
from lm_eval_dispersion.capture._sums import Owner
from lm_eval_dispersion.seams import response_cache


@dataclass(frozen=True)
class Span:
    """The positions that count in one input, and whose they are."""

    row: int
    """Of the batch; -1 until the input passes by."""
    start: int
    stop: int
    """The position after the last one that counts."""
    truncated: bool = False
    """Whether the engine has cut the prompt to fit the model."""
    owners: tuple[Owner, ...] = ()
    """Documents whose sums get its vectors."""
    requests: tuple[int, ...] = ()
    """Who asked for it: indices in the call."""
    of: Progress | None = None
    """Where a pass has only a part of a span: the whole of it."""


@dataclass(eq=False)
class Progress:
    """A span whose positions come by in several passes, and how far it is."""

    span: Span
    done: int
    """The positions before it have come by."""
    sums: tuple[Tensor, ...] | None = None
    """Over those: [layers, d], the sum of unit vectors; [layers], how many count; and how many are zero."""
    vectors: dict[int, list[Tensor]] = field(default_factory=dict)
    """Over those, by layer where signals of a Gram matrix were asked for: the vectors, [positions, d] a pass."""

    @property
    def ended(self) -> bool:
        """Whether the last part has come."""
        return self.done == self.span.stop

    def part(self, stop: int, shift: int) -> Span:
        """The next part, up to ``stop``, in a pass that has these positions at ``shift`` more, in its one row."""
        part = replace(self.span, row=0, start=self.done + shift, stop=stop + shift, of=self)
        self.done = stop
        return part


# What spans are reduced to.
Results = list[tuple[Span, Reduced]]


def hand_over(results: Results, on_prompt: OnPrompt) -> None:
    """Tells each request of its prompt."""
    for span, reduced in results:
        for index in span.requests:
            on_prompt(index, reduced)


def before_cached(lm: Any, so_far: Callable[[], Results], on_prompt: OnPrompt | None) -> AbstractContextManager[None]:
    """Tells of prompts as soon as lm_eval keeps an answer (``--use_cache``), so an interrupted run keeps D, too."""
    if on_prompt is None or response_cache.database_of(lm) is None:
        return nullcontext()
    return response_cache.before_kept(lm, lambda: hand_over(so_far(), on_prompt))


def name_of(tokens: Sequence[int]) -> bytes:
    """Names an input by its tokens, without zeros at the end, which lm_eval fills up rows with."""
    array = np.asarray(tokens, dtype=np.int64)
    nonzero = np.flatnonzero(array)
    return blake2b(array[: nonzero[-1] + 1 if len(nonzero) else 0].tobytes(), digest_size=16).digest()


class Awaited:
    """Spans of inputs that are to pass by."""

    def __init__(self) -> None:
        self.spans: dict[bytes, list[Span]] = {}
        """By the input's name."""

    def add(self, tokens: Sequence[int], span: Span) -> None:
        """Requests of the same positions of the same input share a span."""
        there = self.spans.setdefault(name_of(tokens), [])
        for i, other in enumerate(there):
            if (other.start, other.stop, other.truncated) == (span.start, span.stop, span.truncated):
                owners, requests = other.owners + span.owners, other.requests + span.requests
                there[i] = replace(other, owners=owners, requests=requests)
                return
        there.append(span)

    def pop(self, tokens: Sequence[int]) -> list[Span]:
        """Those of an input that passes by.

        Inputs that differ in zeros at the end alone share a name. That is no guess: a causal model's states at the
        positions they share are the same. Spans that do not fit wait for the longer one.
        """
        found = self.spans.pop(name := name_of(tokens), [])
        if later := [span for span in found if span.stop > len(tokens)]:
            self.spans[name] = later
        return [span for span in found if span.stop <= len(tokens)]
