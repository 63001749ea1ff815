"""Tiny checkpoints in folders, and G of them by brute force in float64 from the loaded model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Rows = np.ndarray[Any, np.dtype[np.float64]]


def output_rows(folder: Path) -> Rows:
    """[rows, width], as transformers has them."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return np.asarray(model.get_output_embeddings().weight.detach().double().numpy())


def texts(folder: Path) -> dict[int, str]:
    """What each id of a tokenizer without special tokens in its text decodes to."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return {i: tokenizer.decode([i]) for i in range(len(tokenizer))}


def domain_ids(texts: dict[int, str], words: Iterable[str] | None) -> list[int]:
    """Those of a set: numbers where there are no words; at most 128."""
    wanted = set(words) if words is not None else None
    found = []
    for i, text in sorted(texts.items()):
        bare = text.removeprefix(" ")
        if bare in wanted if wanted is not None else re.fullmatch("[0-9]+", bare):
            found.append(i)
    return found[:128]


def general_ids(texts: dict[int, str], excluded: Iterable[int]) -> list[int]:
    """The 256 everyday words whose SHA-256 is least."""
    left = set(texts) - set(excluded)
    words = {i: texts[i][1:] for i in left if i < 20_000 and re.fullmatch(" [a-z]{3,}", texts[i])}
    return sorted(sorted(words, key=lambda i: sha256(words[i].encode()).hexdigest())[:256])


def brute_force(rows: Rows, domain: list[int], general: list[int]) -> tuple[float, float]:
    """``within`` and ``between``, pair by pair."""

    def distance(a: int, b: int) -> float:
        return float(1 - rows[a] @ rows[b] / np.sqrt((rows[a] @ rows[a]) * (rows[b] @ rows[b])))

    pairs = [distance(a, b) for a in domain for b in domain if a < b]
    across = [distance(a, b) for a in domain for b in general]
    return float(np.mean(pairs)), float(np.mean(across))


def save_output(folder: Path, tokenizer: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    """A checkpoint of these tensors alone, with the tokenizer of another folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": False} | config))
    (folder / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    return folder
