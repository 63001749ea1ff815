"""What can be said of a transformers model before it runs: whether its hidden states can be had, and mean anything."""

from __future__ import annotations

import inspect
from itertools import takewhile

from torch import nn
from transformers import PreTrainedModel

from lm_eval_dispersion.capture._blocks import own_modules
from lm_eval_dispersion.capture._causal import why_not_causal

# What configurations call the number of blocks.
_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_decoder_layers")


def reads_both_ways(outer: PreTrainedModel, decoder: nn.Module) -> str | None:
    """Why a model is not causal, in a few words; None where nothing says that it is not."""
    configs = [outer.config] if decoder is outer else [outer.config, getattr(decoder, "config", None)]
    if why := next((why for config in configs if (why := why_not_causal(config, type(outer).__name__))), None):
        return why
    if getattr(getattr(decoder, "config", outer.config), "_attn_implementation", None) == "eager":
        return None  # the mask alone decides
    # The attention modules of transformers say it to their kernels; a decoder may attend to something else besides.
    told = [m.is_causal for _, m in own_modules(decoder) if isinstance(getattr(m, "is_causal", None), bool)]
    return "its attention says is_causal=False" if told and not any(told) else None


def is_compiled(model: nn.Module, outer: nn.Module, blocks: list[nn.Module]) -> bool:
    """Whether a module that is listened to runs as compiled code; what is compiled inside a block is out of the way."""
    if blocks:
        inside = {m for block in blocks for m in block.modules()} - set(blocks)
        listened = [m for m in model.modules() if m not in inside]
    else:
        listened = [*takewhile(lambda m: m is not outer, model.modules()), outer]
    return any(_runs_compiled(m) for m in listened)


def _runs_compiled(module: nn.Module) -> bool:
    if getattr(module, "_compiled_call_impl", None) is not None:  # by module.compile()
        return True
    forward = getattr(module, "forward", None)  # by torch.compile of the module, or of its forward
    return hasattr(forward, "_torchdynamo_orig_callable") and not hasattr(forward, "_torchdynamo_disable")


def takes_output_hidden_states(model: nn.Module) -> bool:
    """Whether a model can be asked for its hidden states without breaking its call."""
    parameters = inspect.signature(model.forward).parameters
    return "output_hidden_states" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def depths(model: PreTrainedModel) -> set[int]:
    """How many blocks a model's configuration says that it has, by whatever name; empty where it does not say."""
    try:
        config = model.config.get_text_config()
    except Exception:  # a configuration of the model's own, which may fail in any way
        config = model.config
    told = (getattr(config, name, None) for name in _DEPTHS)
    return {depth for depth in told if isinstance(depth, int)}
