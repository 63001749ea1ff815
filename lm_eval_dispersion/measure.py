"""``measure``: D of a transformers model on texts, for people who do not run lm_eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lm_eval_dispersion.geometry import Correlation
from lm_eval_dispersion.record import Recording, Segment, Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lm_eval_dispersion.capture import Window

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """Arrays are [layers], item l being h[l] in transformers' convention; NaN where undefined."""

    within: Floats
    """D inside a window, averaged over windows. The headline number is ``within[-1]``."""
    within_stderr: Floats
    """Standard error of that mean, clustered by text."""
    across: Floats
    """D over pairs of one vector a window, its last position (the paper's equation)."""
    across_stderr: Floats
    """Jackknife over 50 groups of texts."""
    all_pairs: Floats
    """D over all pairs of vectors of the corpus."""
    all_pairs_stderr: Floats
    """Jackknife over 50 groups of texts."""
    correlation: Correlation
    """Of a window's D with its log-perplexity."""
    loglikelihoods: list[float]
    """Of each text, in nats, as lm_eval's ``loglikelihood_rolling`` gives it with windows of ``window`` tokens."""
    window: int
    """Tokens of a window: min(512, model limit)."""
    segments: int
    """Windows with a D: those of at least 64 vectors."""
    short_windows: int
    """Windows left out of D."""


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, batch_size: int = 1
) -> Measurement:
    """Runs each text once through a decoder-only model, cut in windows as lm_eval's corpus tasks do.

    Args:
        model: any transformers model with a causal language modelling head, where it is.
        tokenizer: its tokenizer.
        texts: one string a document.
        batch_size: windows a forward pass. It does not change the result beyond rounding.

    Raises:
        lm_eval_dispersion.capture.Unsupported: where the model's hidden states cannot be had.
        ValueError: for no text.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from lm_eval_dispersion.capture import Owner, capture_for

    if not texts or isinstance(texts, str):
        raise ValueError("texts must be a sequence of at least one string, one a document")
    capture = capture_for(HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size))
    recording = Recording()

    def on_window(document: int, window: Window) -> None:
        recording.add_segment(document, Segment.of_window(window))

    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    owners = {number: Owner(recording.sums, number) for number in range(len(texts))}
    loglikelihoods = capture.loglikelihood_rolling(requests, owners, on_window)
    summary = Summary(recording, prompts=False)
    across, all_pairs = recording.sums.across.dispersion(), recording.sums.all_pairs.dispersion()
    segments = recording.every_segment()
    measured = sum(s.dispersion is not None for s in segments)
    return Measurement(
        within=summary.within.mean,
        within_stderr=summary.within.stderr,
        across=across[0],
        across_stderr=across[1],
        all_pairs=all_pairs[0],
        all_pairs_stderr=all_pairs[1],
        correlation=recording.correlation(),
        loglikelihoods=loglikelihoods,
        window=capture.window,
        segments=measured,
        short_windows=len(segments) - measured,
    )
