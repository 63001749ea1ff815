"""transformers' models and configurations (``capture/_layers``, ``capture/_blocks``, ``capture/_describe``)."""

from __future__ import annotations

from typing import Any

from lm_eval_dispersion.seams._look import Moved, accepts, declares, has


def hidden_states() -> None:
    """h[0] to h[L] pass by where a model class declares them, as ``output_hidden_states`` gives them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, num_hidden_layers=3)).eval()
    has(PreTrainedModel, "get_decoder")
    decoder: Any = model.get_decoder()
    kind = (getattr(decoder, "_can_record_outputs", None) or {}).get("hidden_states")
    blocks: list[Any] = [m for m in decoder.modules() if isinstance(kind, type) and isinstance(m, kind)]
    if len(blocks) != 3:
        raise Moved(f"_can_record_outputs names {len(blocks)} modules as the 3 blocks of a Llama")
    seen: list[Any] = []

    def listened(forward: Any) -> Any:
        def see(*args: Any, **kwargs: Any) -> Any:
            seen.append(args[0] if args else kwargs["hidden_states"])
            return forward(*args, **kwargs)

        return see

    for block in blocks:
        block.forward = listened(block.forward)
    decoder.register_forward_hook(lambda _, args, output: seen.append(output.last_hidden_state))
    with torch.no_grad():
        states = model(torch.arange(5)[None], output_hidden_states=True).hidden_states
    if len(states) != 4 or len(seen) != 4 or not all(map(torch.equal, seen, states)):
        raise Moved("what passes by in a Llama is not what output_hidden_states gives")


def output_recorders() -> None:
    """Declare hidden states where a class alone does not say which modules give them."""
    from transformers.modeling_utils import OutputRecorder

    declares(OutputRecorder, "target_class", "layer_name", "class_name")


def configurations() -> None:
    """What a record says of a model: type, sizes, parameters, tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForMultimodalLM,
        LlamaConfig,
        PreTrainedModel,
        PreTrainedTokenizerFast,
    )

    has(PreTrainedModel, "num_parameters", "_from_config")
    for kind in (AutoModelForCausalLM, AutoModelForMultimodalLM):
        has(kind, "from_config")
    if LlamaConfig not in (getattr(AutoModelForCausalLM, "_model_mapping", None) or ()):
        raise Moved("AutoModelForCausalLM has no _model_mapping that knows a Llama")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0})))
    has(tokenizer, "backend_tokenizer", "bos_token_id", "eos_token_id", "get_vocab")
    has(tokenizer.backend_tokenizer, "to_str")
    text = LlamaConfig().get_text_config()
    has(text, "model_type", "num_hidden_layers", "hidden_size", "vocab_size", "is_encoder_decoder")
    accepts(PreTrainedModel.register_forward_pre_hook, 2, "with_kwargs")


def tokenizers() -> None:
    """Read where a model has no tokenizer.json (``screen/_vocabulary``)."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    has(AutoTokenizer, "from_pretrained")
    has(PreTrainedTokenizerFast, "get_vocab", "get_added_vocab")


LOOKS = (hidden_states, output_recorders, configurations, tokenizers)
