"""What a reader of a record needs to know of a model and of what it ran on.

None of it is worth a run: what cannot be found out is null, whatever code or configuration of other people's is in the
way, and nobody is asked anything.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


def describe(lm: HFLM) -> dict[str, Any]:
    """The ``engine`` and ``model`` parts of a record; no argument of the user's is copied into it."""
    model, config = lm.model, getattr(lm.model, "config", None)
    text, quantisation = _text_part(config), quantisation_of(config)
    return {
        "engine": {
            "name": "hf",
            "lm_class": type(lm).__name__,
            "dtype": _or_none(lambda: str(model.dtype).removeprefix("torch.")),
            "processes": lm.world_size,
            "versions": versions("lm_eval", "torch", "transformers"),
        },
        "model": {
            "model_type": getattr(text, "model_type", None),
            "layers": getattr(text, "num_hidden_layers", None),
            "hidden_size": getattr(text, "hidden_size", None),
            "vocab_size": getattr(text, "vocab_size", None),
            "parameters": _parameters_loaded(model, quantisation),
            "quantisation": quantisation,
            "peft": bool(getattr(lm, "peft", None)),
            "tokenizer_hash": tokenizer_hash(lm.tokenizer),
        },
    }


def versions(*names: str) -> dict[str, str]:
    """Of the distributions that are installed by these names."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source tree on the path
            continue
    return found


def quantisation_of(config: PretrainedConfig | None) -> str | None:
    """The method's name (gguf, gptq, bitsandbytes, ...), None for full precision weights."""
    for part in (config, _text_part(config)):
        if quantisation := getattr(part, "quantization_config", None):
            is_dict = isinstance(quantisation, dict)
            method = quantisation.get("quant_method") if is_dict else getattr(quantisation, "quant_method", None)
            return str(getattr(method, "value", method) or "unknown")
    return None


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """SHA-256 of what decides a text's tokens; equal hashes mean equal tokenization."""
    return _or_none(lambda: _tokenizer_hash(tokenizer))


def _tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    content = fast.to_str() if fast is not None else repr(sorted(tokenizer.get_vocab().items()))
    bos, eos = (getattr(tokenizer, name, None) for name in ("bos_token_id", "eos_token_id"))
    return sha256(f"{content}|{bos}|{eos}".encode()).hexdigest()


def parameters_of(config: PretrainedConfig, model_class: type[PreTrainedModel] | None = None) -> int | None:
    """How many parameters the model of a configuration has before it is quantised; no weight is read.

    Args:
        config: transformers' configuration.
        model_class: None for transformers' own, which reads text, or text beside images and sound. Code that would have
            to be fetched is neither run nor asked about: the answer is then None.
    """
    return _or_none(lambda: _parameters_of(config, model_class))


def _parameters_of(config: PretrainedConfig, model_class: type[PreTrainedModel] | None) -> int:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM

    full = deepcopy(config)
    for part in (full, _text_part(full)):
        if getattr(part, "quantization_config", None) is not None:
            del part.quantization_config
    with torch.device("meta"):
        if model_class is not None:
            model = model_class._from_config(full)
        else:
            kinds = (AutoModelForCausalLM, AutoModelForMultimodalLM)
            kind = next((kind for kind in kinds if type(full) in kind._model_mapping), AutoModelForCausalLM)
            model = kind.from_config(full, trust_remote_code=False)
    return int(model.num_parameters())


def _parameters_loaded(model: Any, quantisation: str | None) -> int | None:
    """Of a loaded model. Packed weights are fewer numbers than it has parameters; GGUF is unpacked where it is read."""
    if quantisation in (None, "gguf"):
        return _or_none(lambda: int(model.num_parameters()))
    from transformers import PreTrainedModel

    loaded = next((m for m in model.modules() if isinstance(m, PreTrainedModel)), None)
    return None if loaded is None else parameters_of(loaded.config, type(loaded))


def _text_part(config: PretrainedConfig | None) -> Any:
    return _or_none(lambda: config.get_text_config() if config is not None else None) or config


def _or_none(get: Callable[[], T]) -> T | None:
    try:
        return get()
    except Exception:  # other people's configurations and code, which may fail in any way
        return None
