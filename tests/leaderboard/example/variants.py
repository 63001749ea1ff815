"""Real models, damaged on purpose: blocks removed, weights rounded, weights with noise on them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parents[3]))
from benchmarks._real import save_float32


@dataclass(frozen=True)
class Variant:
    """A model and what is done to it."""

    base: str
    blocks: int = 0
    """How many are removed, those before the last one: the last one prepares what the head reads."""
    bits: int = 0
    """Weights rounded to nearest, symmetric, a scale for each output channel; 0: not rounded."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise, as a part of that of the matrix it is added to."""

    @property
    def name(self) -> str:
        """The folder's name, which is what lm_eval writes down."""
        if self.blocks:
            return f"{self.base}-minus-{self.blocks}-block{'s' * (self.blocks > 1)}"
        if self.bits:
            return f"{self.base}-rounded-{self.bits}-bit"
        return f"{self.base}-noise-{self.noise:g}" if self.noise else self.base


def _of(base: str, blocks: tuple[int, ...], bits: tuple[int, ...], noise: tuple[float, ...]) -> Iterator[Variant]:
    yield Variant(base)
    yield from (Variant(base, blocks=b) for b in blocks)
    yield from (Variant(base, bits=b) for b in bits)
    yield from (Variant(base, noise=n) for n in noise)


VARIANTS = [
    *_of("SmolLM2-135M-Instruct", (1, 2, 4, 8, 16), (4, 3), (0.1, 0.2, 0.4)),
    *_of("gemma-3-270m", (1, 2, 4), (4, 3), (0.1, 0.2)),
]


def save(variant: Variant, work: Path) -> Path:
    """The variant in float32, as a folder for ``pretrained=``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    whole = save_float32(variant.base, work / "dequantised" / variant.base)
    loaded = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
    config, weights = loaded.config, dict(loaded.state_dict())
    _remove_blocks(config, weights, variant.blocks)
    generator = torch.Generator().manual_seed(0)
    for name in sorted(weights):
        if ".layers." in name and weights[name].ndim == 2:
            weights[name] = _noisy(_rounded(weights[name], variant.bits), variant.noise, generator)
    del loaded
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(weights)
    model.save_pretrained(work / variant.name)
    AutoTokenizer.from_pretrained(whole).save_pretrained(work / variant.name)
    del model, weights
    gc.collect()
    return work / variant.name


def _remove_blocks(config: Any, weights: dict[str, Tensor], count: int) -> None:
    layers = config.num_hidden_layers
    kept = [*range(layers - 1 - count), layers - 1]
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in kept]
    old = {name: weights.pop(name) for name in list(weights) if ".layers." in name}
    for name, value in old.items():
        head, _, rest = name.partition(".layers.")
        number, _, tail = rest.partition(".")
        if int(number) in kept:
            weights[f"{head}.layers.{kept.index(int(number))}.{tail}"] = value


def _rounded(weight: Tensor, bits: int) -> Tensor:
    if not bits:
        return weight
    largest = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / largest
    return (weight / scale).round().clamp(-largest, largest) * scale


def _noisy(weight: Tensor, size: float, generator: torch.Generator) -> Tensor:
    return weight + size * weight.std() * torch.randn(weight.shape, generator=generator) if size else weight
