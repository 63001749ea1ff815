"""What one task has measured so far: scalars by segment, and the sums for D across segments. Mergeable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.capture import Reduced, Sums, Window
from lm_eval_dispersion.geometry import Correlation, Within, correlate

Floats = NDArray[np.float64]

_HASH_SPACE = 2**256


@dataclass(slots=True)
class Segment:
    """The scalars of one window or prompt: all that is kept of it, and all that a response cache may hold."""

    vectors: int
    dispersion: NDArray[np.float32] | None
    """[layers]; None where the segment has no D (too short, or nothing but a prefix)."""
    zero: int = 0
    """Vectors of zero norm, in the layer that has most of them."""
    nonfinite: int = 0
    """Non-finite vectors, in the layer that has most of them."""
    truncated: bool = False
    loglikelihood: float | None = None
    """Sum over the tokens that are scored, in nats: a window's, or those of a prompt that its pass predicts."""
    tokens: int | None = None
    """How many these are."""
    signals: NDArray[np.float32] | None = None
    """[signals, layers], ``geometry.SIGNALS`` at the layers that were asked for; None where there are none."""

    @classmethod
    def of(cls, reduced: Reduced) -> Segment:
        """A prompt's."""
        return cls(
            vectors=reduced.vectors,
            dispersion=reduced.dispersion.astype(np.float32),
            zero=int(reduced.zero.max(initial=0)),
            nonfinite=int(reduced.nonfinite.max(initial=0)),
            truncated=reduced.truncated,
            loglikelihood=reduced.loglikelihood,
            tokens=reduced.tokens,
            signals=None if reduced.signals is None else reduced.signals.astype(np.float32),
        )

    @classmethod
    def of_window(cls, window: Window) -> Segment:
        """A window's."""
        segment = cls(window.vectors, None) if window.reduced is None else cls.of(window.reduced)
        segment.loglikelihood, segment.tokens = window.loglikelihood, window.tokens
        return segment


@dataclass
class Recording:
    """One task's measurements in one process."""

    segments: dict[int, list[Segment]] = field(default_factory=dict)
    """By document number, in the order of the text."""
    documents: set[int] = field(default_factory=set)
    """Every document seen, also those without a segment."""
    sums: Sums = field(default_factory=Sums)
    """For D across segments."""
    counts: Counter[str] = field(default_factory=Counter)
    text_hash: int = 0
    """Sum over texts of their SHA-256, modulo 2^256: the same in whatever order or process they come."""
    layers: int = 0
    """How many hidden states there is a D of; 0 where nothing was measured."""
    shown: list[int] = field(default_factory=list)
    """Which they are: h[l] in transformers' convention."""
    signal_layers: list[int] = field(default_factory=list)
    """Those of which there are signals of a Gram matrix."""
    definition: Definition | None = None
    """Of what was measured, its window cut to the model's limit; None where nothing was."""
    described: dict[str, Any] = field(default_factory=dict)
    """The capture's ``describe()``."""
    undefined: str | None = None
    """Why there is no D, where measuring failed."""

    def add_text(self, text: str) -> None:
        """Notes a document's text, or a prompt, as it is handed to the model."""
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        self.text_hash = (self.text_hash + int.from_bytes(digest, "big")) % _HASH_SPACE

    def add_segment(self, document: int, segment: Segment) -> None:
        """Adds a segment's scalars; its vectors are added to ``sums`` where they are."""
        self.segments.setdefault(document, []).append(segment)
        if segment.dispersion is not None:
            self.layers = len(segment.dispersion)

    def merge(self, other: Recording) -> None:
        """Adds what another process, or another call, has measured."""
        for document, segments in other.segments.items():
            self.segments.setdefault(document, []).extend(segments)
        self.documents |= other.documents
        self.sums.merge(other.sums)
        self.counts.update(other.counts)
        self.text_hash = (self.text_hash + other.text_hash) % _HASH_SPACE
        self.layers = self.layers or other.layers
        self.shown = self.shown or other.shown
        self.signal_layers = self.signal_layers or other.signal_layers
        self.definition = self.definition or other.definition
        self.described = self.described or other.described
        self.undefined = self.undefined or other.undefined

    def emptied(self, undefined: str) -> Recording:
        """Of the same model and text, without a number."""
        kept = {"documents", "text_hash", "shown", "signal_layers", "definition", "described"}
        return Recording(**{name: getattr(self, name) for name in kept}, undefined=undefined)

    def why_undefined(self, prompts: bool) -> str | None:
        """Why there is no D; None where there is one."""
        if self.undefined or self.layers:
            return self.undefined
        least = self.definition.min_vectors if self.definition else 0
        return "no prompt has a token but a prefix" if prompts else f"no window has {least} vectors"

    def every_segment(self) -> list[Segment]:
        """With and without a D, of all documents."""
        return [segment for segments in self.segments.values() for segment in segments]

    def document(self, number: int, prompts: bool) -> Floats:
        """[values, layers] of one document: one a window, but one for all of a document's prompts."""
        rows = [s.dispersion for s in self.segments.get(number, ()) if s.dispersion is not None]
        values = np.array(rows, dtype=np.float64).reshape(len(rows), self.layers)
        return mean_by_layer(values)[None] if prompts and len(rows) > 1 else values

    def within(self, prompts: bool) -> Within:
        """D inside segments, averaged over segments (over documents, for prompts)."""
        within = Within(self.layers)
        for number in sorted(self.segments):
            within.add(self.document(number, prompts))
        return within

    def correlation(self) -> Correlation:
        """Of per-segment D with per-segment log-perplexity (mean negative log-likelihood a token, nats)."""
        rows = [
            (number, s.dispersion, -s.loglikelihood / s.tokens)
            for number, segments in sorted(self.segments.items())
            for s in segments
            if s.dispersion is not None and s.loglikelihood is not None and s.tokens
        ]
        documents = np.array([r[0] for r in rows], dtype=np.int64)
        d = np.array([r[1] for r in rows], dtype=np.float64).reshape(len(rows), self.layers)
        return correlate(d, np.array([r[2] for r in rows], dtype=np.float64), documents)


def mean_by_layer(values: Floats) -> Floats:
    """[values, layers] -> [layers], over what is defined; NaN where nothing is."""
    has = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(has, values, 0.0).sum(0) / has.sum(0)
