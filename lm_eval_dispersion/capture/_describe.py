"""What a reader of a record needs to know of a model and of what it ran on."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


def describe(lm: HFLM) -> dict[str, Any]:
    """The ``engine`` and ``model`` parts of a record; no argument of the user's is copied into it."""
    model, config = lm.model, lm.model.config
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return {
        "engine": {
            "name": "hf",
            "lm_class": type(lm).__name__,
            "dtype": str(model.dtype).removeprefix("torch."),
            "processes": lm.world_size,
            "versions": {name: version(name) for name in ("lm_eval", "torch", "transformers")},
        },
        "model": {
            "model_type": text.model_type,
            "layers": getattr(text, "num_hidden_layers", None),
            "hidden_size": getattr(text, "hidden_size", None),
            "vocab_size": getattr(text, "vocab_size", None),
            "parameters": model.num_parameters(),
            "quantisation": quantisation_of(config),
            "peft": bool(getattr(lm, "peft", None)),
            "tokenizer_hash": tokenizer_hash(lm.tokenizer),
        },
    }


def quantisation_of(config: PretrainedConfig) -> str | None:
    """The method's name (gguf, gptq, bitsandbytes, ...), None for full precision weights."""
    quantisation = getattr(config, "quantization_config", None)
    if quantisation is None:
        return None
    method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation.quant_method
    return str(getattr(method, "value", method))


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides a text's tokens; equal hashes mean equal tokenization."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    content = fast.to_str() if fast is not None else repr(sorted(tokenizer.get_vocab().items()))
    return sha256(f"{content}|{tokenizer.bos_token_id}|{tokenizer.eos_token_id}".encode()).hexdigest()


def parameters_of(config: PretrainedConfig) -> int:
    """How many parameters transformers' model of a configuration has; no weight is read."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return int(AutoModelForCausalLM.from_config(config).num_parameters())
