"""(c) Recording against the paper's procedure as published: perplexity, then states on disk, then all pairs.

Written from the description of the authors' scripts (arXiv 2506.24106 and its release), none of it copied. As
there: batch size 1, chunks of 512 tokens with no prefix, the last layer only, one small JSON and one float32
``.npy`` a chunk, the whole n x n matrix of cosines. Kinder than there: one process that loads the model once,
tokens at hand, no grouping of chunks in between.

The release's second visit goes to a sample of the chunks, and computes the perplexity of these once more.
So there are two figures: ``two_passes``, states only, and ``released``, what a sampled chunk really costs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._measure import Figure, written
from benchmarks._sample import Job, Prepare
from benchmarks._setup import Setup
from benchmarks.recording import recording

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedModel


def two_passes(lm: HFLM, texts: list[str]) -> Prepare:
    """Two forward passes a chunk."""
    return _procedure(lm, texts, perplexity_again=False)


def released(lm: HFLM, texts: list[str]) -> Prepare:
    """Three, as the released scripts do for a chunk they sample."""
    return _procedure(lm, texts, perplexity_again=True)


def _procedure(lm: HFLM, texts: list[str], perplexity_again: bool) -> Prepare:
    chunks = [lm.tok_encode(text) for text in texts]

    def prepare() -> Job:
        found: list[float] = []

        def work() -> None:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                _write_perplexities(lm.model, chunks, folder)
                _write_states(lm.model, chunks, folder, perplexity_again)
                found.extend(_read_and_compare(folder, len(chunks)))

        return Job(work, lambda: {"within": [float(np.mean(found))]})

    return prepare


def _write_perplexities(model: PreTrainedModel, chunks: list[list[int]], folder: Path) -> None:
    for number, chunk in enumerate(chunks):
        (folder / f"perplexity_{number}.json").write_text(json.dumps(_perplexity(model, chunk)))


def _perplexity(model: PreTrainedModel, chunk: list[int]) -> float:
    import torch

    tokens = torch.tensor([chunk])
    with torch.no_grad():
        return float(model(tokens, labels=tokens).loss.exp())


def _write_states(model: PreTrainedModel, chunks: list[list[int]], folder: Path, perplexity_again: bool) -> None:
    import torch

    for number, chunk in enumerate(chunks):
        if perplexity_again:
            _perplexity(model, chunk)
        with torch.no_grad():
            states = model(torch.tensor([chunk]), output_hidden_states=True).hidden_states
        np.save(folder / f"states_{number}.npy", states[-1].float().numpy())


def _read_and_compare(folder: Path, count: int) -> list[float]:
    import torch

    found = []
    for number in range(count):
        states = torch.from_numpy(np.load(folder / f"states_{number}.npy"))[0]
        unit = torch.nn.functional.normalize(states, dim=-1)
        cosines = unit @ unit.T
        above = torch.triu(torch.ones_like(cosines, dtype=torch.bool), diagonal=1)
        found.append(float((1 - cosines[above]).mean()))
    return found


def run(setup: Setup) -> Iterator[Figure | str]:
    """The figures, and what else there is to say."""
    variants = {"recording": recording, "again": recording, "two_passes": two_passes, "released": released}
    times = setup.time("(c)", **variants)
    for key, name in (("two_passes", "two forward passes"), ("released", "as released")):
        yield setup.figure("c", f"paper's procedure, {name} / recording", times, (key, "recording", "again"), "seconds")
    d = {name: times[name][0].found["within"][-1] for name in ("recording", "released")}
    yield (
        f"(c) D of the last state: the paper's procedure {d['released']:.4f} (no prefix, first position counts), "
        f"recording {d['recording']:.4f}"
    )
    peaks = setup.memory("(c)", recording=recording, again=recording, released=released)
    names, what = ("released", "recording", "again"), "paper's procedure, as released / recording"
    yield setup.figure("c", what, peaks, names, "peak")
    yield (
        f"(c) bytes written a window: the paper's procedure {written(peaks, 'released', setup.windows)}, "
        f"recording {written(peaks, 'recording', setup.windows)}"
    )
