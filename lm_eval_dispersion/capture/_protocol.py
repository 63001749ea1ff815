"""What every engine's capture promises, and what it hands over: a few numbers a request and layer, never the states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.capture._sums import Owner

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

# lm_eval's rolling windows are cut at min(WINDOW, model limit), on every engine.
WINDOW = 512
# A corpus window with fewer vectors is scored for perplexity but has no D: short segments stand far above others.
MIN_VECTORS = 64


class Unsupported(Exception):
    """A model or setting whose hidden states cannot be had; the message is one line for the user."""


class AttributionError(RuntimeError):
    """A forward pass that cannot be matched with the requests it serves. Never guessed at, always raised."""


@dataclass(frozen=True)
class Reduced:
    """One segment or prompt, reduced. ``layers`` is L + 1: h[0] to h[L] in transformers' convention."""

    dispersion: NDArray[np.float64]
    """[layers]: D inside the segment; NaN where fewer than two vectors count."""
    vectors: int
    """How many vectors the segment must have: its positions, prefix left out."""
    zero: NDArray[np.int64]
    """[layers]: of these, vectors left out because their norm is zero."""
    nonfinite: NDArray[np.int64]
    """[layers]: of these, vectors left out because they are not finite."""
    truncated: bool = False
    """True where the engine cut the prompt to fit the model."""


@dataclass(frozen=True)
class Window:
    """One scored window of a document."""

    loglikelihood: float
    """Sum over the scored tokens, in nats."""
    tokens: int
    """How many tokens are scored."""
    vectors: int
    """How many vectors the window has: scored positions, prefix left out."""
    reduced: Reduced | None
    """None where the window has fewer than MIN_VECTORS vectors."""


# By the request's index in the list it came in: the document to whose task its vectors are added.
Owners = Mapping[int, Owner]
# Called with the request's index, when all requests have run.
OnPrompt = Callable[[int, Reduced], None]
OnWindow = Callable[[int, Window], None]


class Capture(Protocol):
    """Runs lm_eval's own request methods, once, and reduces hidden states while they pass by.

    Every method returns exactly what lm_eval's method of that name returns for the same requests. When it returns, the
    vectors have been added to the sums of their owners.
    """

    def loglikelihood(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt
    ) -> list[tuple[float, bool]]:
        """Reduces the context of the requests that have an owner.

        ``on_prompt`` is not called for a context of which nothing is left but its prefix.
        """
        ...

    def generate_until(self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt) -> list[str]:
        """Reduces the prompt's pass of the requests that have an owner, likewise."""
        ...

    def loglikelihood_rolling(self, requests: Sequence[Instance], owners: Owners, on_window: OnWindow) -> list[float]:
        """Reduces every window of every request, cut at ``window``; a request without owner adds to no sums."""
        ...

    @property
    def window(self) -> int:
        """Tokens of a rolling window: min(WINDOW, model limit)."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a reader of the record needs to know of engine and model (its keys ``engine`` and ``model``)."""
        ...
