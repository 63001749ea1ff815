"""What every engine's capture promises, and what it hands over: a few numbers a request and layer, never the states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.capture._sums import Owner

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


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
    loglikelihood: float | None = None
    """Of a prompt: sum over those of its tokens that the pass predicts, in nats; None where nobody computes it."""
    tokens: int | None = None
    """How many these are."""
    signals: NDArray[np.float64] | None = None
    """[signals, layers]: ``geometry.SIGNALS`` at ``Capture.signal_layers``, NaN where not defined; None where there are
    none of these."""


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
    """None where the window has fewer vectors than the definition asks for."""


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
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt, definition: Definition
    ) -> list[tuple[float, bool]]:
        """Reduces the context of the requests that have an owner.

        ``on_prompt`` is not called for a context of which nothing is left but its prefix. It is called before
        lm_eval keeps the request's answer in a cache, where it does, and else at the end.
        """
        ...

    def generate_until(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt, definition: Definition
    ) -> list[str]:
        """Reduces the prompt's pass of the requests that have an owner, likewise."""
        ...

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], owners: Owners, on_window: OnWindow, definition: Definition
    ) -> list[float]:
        """Reduces every window of every request; a request without owner adds to no sums."""
        ...

    @property
    def limit(self) -> int:
        """Tokens of the longest rolling window that the model can take."""
        ...

    def layers(self, definition: Definition) -> list[int]:
        """Which hidden states are reduced: h[l] in transformers' convention. An engine may show the last one alone.

        Empty where it is not known before a forward pass how many there are: then all of them.

        Raises:
            TaskError: for a layer that the model has not.
        """
        ...

    def signal_layers(self, definition: Definition) -> list[int]:
        """At which hidden states there are signals of a Gram matrix.

        Raises:
            TaskError: for a layer that the model has not.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What a reader of the record needs to know of engine and model (its keys ``engine`` and ``model``)."""
        ...

    def fingerprint(self) -> str | None:
        """Of the model's weights; None where they are out of reach."""
        ...
