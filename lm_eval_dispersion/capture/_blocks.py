"""Which modules of a transformers model give its hidden states, as its classes declare it.

transformers' own recording mechanism says it: a model class declares in ``_can_record_outputs`` which modules give
``hidden_states``, by a class, an ``OutputRecorder``, how a module's name ends, or a list of these
(transformers/utils/output_capturing.py, whose rules these are).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn
from transformers import PreTrainedModel


class Undeclared(Exception):
    """A model whose classes do not say which its blocks are; the message says why, after the model's name."""


class Declared(NamedTuple):
    """Where the hidden states of a model pass by."""

    decoder: PreTrainedModel
    """Its output is the last one."""
    blocks: list[nn.Module]
    """Each takes one, in the order in which they run."""


def declared(model: PreTrainedModel) -> Declared:
    """The text decoder of a model, and its blocks.

    Raises:
        Undeclared: where its classes do not say which they are.
    """
    found = {m: blocks for m in model.modules() if isinstance(m, PreTrainedModel) and (blocks := _blocks(m))}
    if not found:
        raise Undeclared("does not declare its hidden states to transformers")
    text = text_decoder(model)
    inside = set(text.modules())
    # A model of text and images has a decoder and, in its image encoder, other blocks.
    candidates = [m for m in found if m is text] or [m for m in found if m in inside] or list(found)
    if len(candidates) > 1:
        raise Undeclared(f"declares the hidden states of {len(candidates)} models in one")
    (decoder,) = candidates
    if getattr(decoder.config, "tie_last_hidden_states", None) is False:
        raise Undeclared("keeps its last hidden state before the final norm (tie_last_hidden_states=False)")
    return Declared(decoder, found[decoder])


def text_decoder(model: PreTrainedModel) -> nn.Module:
    """What transformers takes for the part that reads and writes text, the model itself where it does not know."""
    try:
        decoder = model.get_decoder()
    except Exception:  # code of the model's own, which may fail in any way
        return model
    return decoder if isinstance(decoder, nn.Module) else model


def _blocks(model: PreTrainedModel) -> list[nn.Module]:
    specs = (getattr(model, "_can_record_outputs", None) or {}).get("hidden_states") or []
    specs = specs if isinstance(specs, list) else [specs]
    matched = (module for name, module in own_modules(model) if any(_is_meant(s, name, module) for s in specs))
    return list(dict.fromkeys(matched))


def own_modules(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules below a model with their names, without those of a model nested in it (which declares its own)."""
    for child_name, child in model.named_children():
        if not isinstance(child, PreTrainedModel):
            yield f"{name}.{child_name}", child
            yield from own_modules(child, f"{name}.{child_name}")


def _is_meant(spec: Any, name: str, module: nn.Module) -> bool:
    if isinstance(spec, type):
        return isinstance(module, spec)
    if isinstance(spec, str):
        return name.endswith(spec)
    by_class = spec.target_class is not None and isinstance(module, spec.target_class)
    by_name = spec.class_name is not None and name.endswith(spec.class_name)
    below = spec.layer_name is None or f".{spec.layer_name.strip('.')}." in f"{name}."
    return (by_class or by_name) and below
