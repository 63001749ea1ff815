"""Per-window numbers from lm_eval's own output: ``results_*.json`` and ``samples_*.jsonl`` of a corpus task."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        SystemExit: where there is none, in one line.
    """
    found = [w for results in sorted(output_path.rglob("results_*.json"), reverse=True) for w in _of_run(results)]
    if not found:
        raise SystemExit(f"leaderboard: no corpus task with logged samples below {output_path}; run with --log_samples")
    return found


def _of_run(results: Path) -> Iterator[Windows]:
    run = json.loads(results.read_text(encoding="utf-8"))
    when = results.stem.removeprefix("results_")
    for task, config in run["configs"].items():
        record = (config.get("metadata") or {}).get("dispersion")
        samples = results.with_name(f"samples_{task}_{when}.jsonl")
        if record and record["definition"]["kind"] == "corpus" and samples.is_file():
            windows = _windows(run, record, samples)
            if windows is not None:
                yield windows


def _windows(run: dict[str, Any], record: dict[str, Any], samples: Path) -> Windows | None:
    rows: list[tuple[int, list[float], float, float, float]] = []
    with samples.open(encoding="utf-8") as lines:
        for sample in map(json.loads, lines):
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
        model=_model_name(run),
        corpus=record["corpus"]["name"],
        documents=np.array(documents, dtype=np.int64),
        dispersion=np.array(layers, dtype=np.float64),
        log_perplexity=np.array(log_perplexity),
        log_vectors=np.array(log_vectors),
        repetition=np.array(repetitions),
        profile=record["within"],
    )


def _model_name(run: dict[str, Any]) -> str:
    arguments = run["config"]["model_args"]
    file = arguments.get("gguf_file") if isinstance(arguments, dict) else None
    return str(file or run.get("model_name") or "?").removesuffix(".gguf")
