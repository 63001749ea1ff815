"""Runs of models that do not exist, on a text of made-up documents, as files of lm_eval's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = [0, 1, 2]


def write_run(
    folder: Path,
    bits: Sequence[float],
    sizes: Sequence[int],
    d: Sequence[float] | None = None,
    *,
    change: Callable[[dict[str, Any]], object] = lambda run: None,
    date: float = 1e9,
    log_samples: bool = True,
) -> Path:
    """Writes a results file of one corpus task and its samples, a window a document.

    Args:
        folder: the run's; its name is the model's.
        bits: of each document.
        sizes: of each document, in bytes.
        d: of each document at the last hidden state; by default all alike.
        change: is called with what the results file will hold.
        date: of the run.
        log_samples: whether there are samples.

    Returns:
        The results file.
    """
    d = [0.5] * len(bits) if d is None else d
    finite = all(map(math.isfinite, d))
    profile = {"mean": [0.9, 0.4, float(np.mean(d)) if finite else None], "stderr": [0.01] * 3, "n": [len(d)] * 3}
    record = {
        "definition": {
            "version": 1,
            "kind": "corpus",
            "window": 512,
            "min_vectors": 64,
        },
        "undefined": None,
        "corpus": {"name": "reports", "hash": "ab" * 32, "selection": {}},
        "base_task": None,
        "model": {"model_type": "llama", "layers": 2, "hidden_size": 32, "tokenizer_hash": "cd" * 32},
        "counts": dict.fromkeys(["documents", "segments", "vectors"], len(bits))
        | dict.fromkeys(["zero_vectors", "nonfinite_vectors", "cached_answers"], 0),
        "layers": LAYERS,
        "within": profile,
        "across": {"dispersion": [0.9, 0.4, 0.3], "stderr": [0.01] * 3, "n": [len(d)] * 3},
    }
    run: dict[str, Any] = {
        "results": {"dispersion_text": {"bits_per_byte,none": float(np.sum(bits) / np.sum(sizes))}},
        "configs": {"dispersion_text": {"metadata": {"dispersion": record}}},
        "config": {"model_args": {"pretrained": folder.name}},
        "model_name": folder.name,
        "date": date,
    }
    change(run)
    folder.mkdir(parents=True, exist_ok=True)
    when = f"2026-01-01T00-00-00.{int(date) % 1_000_000:06d}"
    file = folder / f"results_{when}.json"
    file.write_text(json.dumps(run))
    if log_samples:
        rows = [
            {
                "doc_id": i,
                "doc_hash": f"{i:064x}",
                "bits_per_byte": [-b * math.log(2), int(size)],
                "dispersion": {"windows": [{"vectors": 100, "layers": [0.9, 0.4, value]}]},
            }
            for i, (b, size, value) in enumerate(zip(bits, sizes, d, strict=True))
        ]
        (folder / f"samples_dispersion_text_{when}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return file


def record(run: dict[str, Any]) -> dict[str, Any]:
    """The dispersion record of a run's only task."""
    found: dict[str, Any] = run["configs"]["dispersion_text"]["metadata"]["dispersion"]
    return found


def texts(documents: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of documents of very different sizes, and how hard each is, in bits a byte."""
    rng = np.random.default_rng(seed)
    return rng.lognormal(6.5, 0.7, documents).astype(int) + 50, rng.normal(1.0, 0.2, documents)
