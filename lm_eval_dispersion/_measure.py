"""``measure``: D of a transformers model on texts, for people who do not run lm_eval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.geometry import Correlation
from lm_eval_dispersion.record import Recording, Segment, Summary, signals_of_task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lm_eval_dispersion.capture import Window

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """Arrays are [layers], one item for each of ``layers``; NaN where undefined, as where no text is long enough."""

    layers: list[int]
    """Which hidden states: h[l] in transformers' convention, the last one last."""

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
    signals: dict[str, Any]
    """Those of ``Definition(signals="all")`` by name, as a record has them: ``layers``, and lists of as many ``mean``,
    ``stderr`` and ``n``. Empty where they were not asked for."""
    definition: Definition
    """As asked for, its window cut to the model's limit."""
    segments: int
    """Windows with a D: those of at least ``definition.min_vectors`` vectors."""
    short_windows: int
    """Windows left out of D."""


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    *,
    batch_size: int = 1,
    definition: Definition | None = None,
) -> Measurement:
    """Runs each text once through a decoder-only model, cut in windows as lm_eval's corpus tasks do.

    Args:
        model: any transformers model with a causal language modelling head, where it is. It is left as it was: in
            training where it was in training, with its hooks.
        tokenizer: its tokenizer; left as it was.
        texts: one string a document: a list, an array, a column of a table.
        batch_size: windows a forward pass. It does not change the result beyond rounding.
        definition: what exactly is measured; None for the default one.

    Raises:
        lm_eval_dispersion.capture.Unsupported: where the model's hidden states cannot be had.
        TaskError: for a layer that the model has not.
        ValueError: for no text, or one that is no string.
    """
    documents = [] if isinstance(texts, str) else list(texts)
    if not documents or not all(isinstance(text, str) for text in documents):
        raise ValueError("texts must be at least one string, one a document")
    with _left_as_they_were(model, tokenizer):
        return _measure(model, tokenizer, documents, batch_size, definition or Definition())


@contextmanager
def _left_as_they_were(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """lm_eval puts a model that it is given in eval mode, and gives its tokenizer a padding token."""
    training = [module for module in model.modules() if module.training]
    pad_token, side = tokenizer.pad_token, tokenizer.padding_side
    try:
        yield
    finally:
        for module in training:
            module.training = True
        tokenizer.pad_token, tokenizer.padding_side = pad_token, side


def _measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    batch_size: int,
    definition: Definition,
) -> Measurement:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from lm_eval_dispersion.capture import Owner, capture_for

    capture = capture_for(HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size))
    definition = definition.cut_at(capture.limit)
    layers = capture.layers(definition)
    recording = Recording(layers=len(layers), definition=definition, signal_layers=capture.signal_layers(definition))

    def on_window(document: int, window: Window) -> None:
        recording.add_segment(document, Segment.of_window(window))

    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    owners = {number: Owner(recording.sums, number) for number in range(len(texts))}
    loglikelihoods = capture.loglikelihood_rolling(requests, owners, on_window, definition)
    layers = layers or list(range(recording.layers))
    summary = Summary(recording, prompts=False)
    sums = recording.sums.across, recording.sums.all_pairs
    across, all_pairs = (_of(pairs.dispersion(), len(layers)) for pairs in sums)
    segments = recording.every_segment()
    measured = sum(s.dispersion is not None for s in segments)
    return Measurement(
        layers=layers,
        within=summary.within.mean,
        within_stderr=summary.within.stderr,
        across=across[0],
        across_stderr=across[1],
        all_pairs=all_pairs[0],
        all_pairs_stderr=all_pairs[1],
        correlation=recording.correlation(),
        loglikelihoods=loglikelihoods,
        signals=signals_of_task(recording, prompts=False, scored=False, answers=None),
        definition=definition,
        segments=measured,
        short_windows=len(segments) - measured,
    )


def _of(found: tuple[Floats, Floats], layers: int) -> tuple[Floats, Floats]:
    """Sums to which nothing was added do not know how many layers there are."""
    undefined = np.full(layers, np.nan)
    return found if len(found[0]) else (undefined, undefined)
