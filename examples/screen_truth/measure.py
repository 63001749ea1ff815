"""What a model of the truth test does: its output projection, and its likelihoods of held-out text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DOCUMENT, _ALL = 8_000, 200_000
_GLIMPSE, _GLIMPSES = 10_000, 20
_BATCH = 32


class Parts(NamedTuple):
    """Held-out texts."""

    code: list[str]
    prose: list[str]
    glimpses: list[str]
    """Of code, ten kilobytes each: what one person has at hand."""


def held_out(code: list[str], prose: list[str], glimpse: list[str]) -> Parts:
    """Of each, documents of at most 8,000 characters until there are 200,000; and 20 glimpses, of one file each."""
    long = [_cut(text, _GLIMPSE) for text in glimpse if len(text) >= _GLIMPSE]
    order = np.random.default_rng(0).permutation(len(long))
    return Parts(_documents(code), _documents(prose), [long[i] for i in order[:_GLIMPSES]])


def _documents(texts: list[str]) -> list[str]:
    chosen, characters = [], 0
    for i in np.random.default_rng(0).permutation(len(texts)):
        if characters < _ALL:
            chosen.append(_cut(texts[i], _DOCUMENT))
            characters += len(chosen[-1])
    return chosen


def _cut(text: str, characters: int) -> str:
    """At the last line end before the limit, or at the limit where there is none."""
    end = text.rfind("\n", 0, characters + 1)
    return text if len(text) <= characters else text[: end if end > 0 else characters]


class Measured(NamedTuple):
    """Of one model."""

    code: Floats
    prose: Floats
    glimpses: Floats
    """[texts, 3] each: nats, tokens, bytes."""

    @property
    def log_perplexity(self) -> Floats:
        """Nats a token of each glimpse."""
        return np.asarray(self.glimpses[:, 0] / self.glimpses[:, 1])


def bits_per_byte(texts: Floats) -> float:
    """All bits over all bytes."""
    nats, _tokens, size = texts.sum(0)
    return float(nats / size / math.log(2))


def measure(model: Path, parts: Parts, file: Path) -> Measured:
    """From ``file`` where the model has been measured before."""
    if not file.is_file():
        from transformers import AutoTokenizer, GPT2LMHeadModel

        network, tokenizer = GPT2LMHeadModel.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
        found = {name: [likelihood(network, tokenizer, t) for t in texts] for name, texts in parts._asdict().items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        (beside := file.with_suffix(".part")).write_text(json.dumps(found), encoding="utf-8")
        beside.replace(file)
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Measured(*(np.array(kept[name], dtype=float) for name in Measured._fields))


@torch.inference_mode()
def likelihood(network: Any, tokenizer: Any, text: str) -> tuple[float, int, int]:
    """Nats, tokens and bytes of a text after an end-of-text, in lm_eval's rolling windows of the model's length."""
    ids = torch.tensor([tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]])
    count = len(ids) - 1
    context = min(network.config.n_positions, count)
    # The last window is filled up with earlier tokens, which are its context and have been predicted before.
    begins = [*range(0, count - context, context), count - context]
    windows = torch.stack([ids[begin : begin + context + 1] for begin in begins])
    nats = [
        torch.nn.functional.cross_entropy(
            network(input_ids=some[:, :-1], use_cache=False).logits.transpose(1, 2), some[:, 1:], reduction="none"
        )
        for some in windows.split(_BATCH)
    ]
    every = torch.cat(nats)
    twice = context * len(begins) - count
    return float(every.sum() - every[-1, :twice].sum()), count, len(text.encode())


def output_projection(model: Path) -> Floats:
    """[vocabulary, d]: that of a tied model is its embeddings."""
    from safetensors.numpy import load_file

    weights = load_file(model / "model.safetensors")
    return weights["lm_head.weight" if "lm_head.weight" in weights else "transformer.wte.weight"].astype(np.float64)
