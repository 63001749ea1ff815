"""Per-window numbers from lm_eval's own output: the results files and ``samples_*.jsonl`` of a corpus task."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.runs import Run, complain, find_runs, read_samples

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """The windows with a D of one model on one corpus."""

    model: str
    corpus: str
    documents: NDArray[np.int64]
    """[windows]"""
    dispersion: Floats
    """[windows, layers]"""
    log_perplexity: Floats
    """[windows], mean negative log-likelihood a scored token, in nats."""
    log_vectors: Floats
    """[windows], logarithm of the number of vectors."""
    repetition: Floats
    """[windows], how far zlib compresses the document's text: 1 - compressed / original bytes."""
    profile: dict[str, list[float]]
    """``within`` of the record: mean and standard error by layer."""


def read_windows(output_path: Path) -> list[Windows]:
    """Every corpus task below an ``--output_path`` that was run with ``--log_samples``, newest run first.

    Raises:
        TaskError: where there is none, in one line.
    """
    runs = list(find_runs(output_path, complain))
    found = [windows for run in reversed(runs) for windows in _of_run(run)]
    if not found:
        raise TaskError(f"no corpus task with logged samples below {output_path}; run with --log_samples")
    return found


def _of_run(run: Run) -> Iterator[Windows]:
    for task in run.content["configs"]:
        record, samples = run.record(task), run.samples(task)
        if record and record["definition"]["kind"] == "corpus" and samples:
            windows = _windows(run, record, samples)
            if windows is not None:
                yield windows


def _windows(run: Run, record: dict[str, Any], samples: Path) -> Windows | None:
    rows: list[tuple[int, list[float], float, float, float]] = []
    for sample in read_samples(samples):
        text = str(sample["arguments"]["gen_args_0"]["arg_0"]).encode()
        repetition = 1 - len(zlib.compress(text)) / len(text) if text else 0.0
        for window in sample["dispersion"]["windows"]:
            if window["layers"] is not None and None not in window["layers"]:
                log_perplexity = -window["loglikelihood"] / window["tokens"]
                length = math.log(window["vectors"])
                rows.append((sample["doc_id"], window["layers"], log_perplexity, length, repetition))
    if not rows:
        return None
    documents, layers, log_perplexity, log_vectors, repetitions = zip(*rows, strict=True)
    return Windows(
        model=run.model,
        corpus=record["corpus"]["name"],
        documents=np.array(documents, dtype=np.int64),
        dispersion=np.array(layers, dtype=np.float64),
        log_perplexity=np.array(log_perplexity),
        log_vectors=np.array(log_vectors),
        repetition=np.array(repetitions),
        profile=record["within"],
    )
