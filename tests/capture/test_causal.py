"""A model is refused where a later token changes an earlier answer of its, and nowhere else."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from dispersion_leaderboard.admission._architectures import reason_against
from dispersion_leaderboard.requests import Reason
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DistilBertConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
)

from lm_eval_dispersion.capture import Unsupported
from lm_eval_dispersion.capture._causal import why_not_causal
from lm_eval_dispersion.capture._layers import LayerTap

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
GATED = SIZES | {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 32}
OF_BERTS_KIND = [
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert", "rembert",
    "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod",
]  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "big_bird": {"attention_type": "original_full"},
    "electra": {"embedding_size": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roc_bert": {"enable_pronunciation": False, "enable_shape": False},
    "xmod": {"default_language": "en_XX"},
}
XLNET = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 16, "vocab_size": 64, "use_mems_eval": False}
XLM = {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "vocab_size": 64, "max_position_embeddings": 64}
CPMANT = {"hidden_size": 16, "num_attention_heads": 2, "dim_head": 8, "dim_ff": 16, "num_hidden_layers": 2} | {
    "vocab_size": 64,
    "prompt_length": 2,
}


PEGASUS = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "decoder_ffn_dim": 16, "vocab_size": 64} | {
    "decoder_attention_heads": 2,
    "is_encoder_decoder": False,
    "max_position_embeddings": 64,
    "use_cache": False,
}
IMAGES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2} | {
    "image_size": 28,
    "patch_size": 14,
}


def of_berts_kind(kind: str, is_decoder: bool) -> PreTrainedConfig:
    return AutoConfig.for_model(kind, **SIZES | MORE.get(kind, {}), is_decoder=is_decoder)


READ_BOTH_WAYS = {
    **{kind: of_berts_kind(kind, False) for kind in OF_BERTS_KIND},
    "llama, told": LlamaConfig(**GATED, is_causal=False),
    "gemma2, told": Gemma2Config(**GATED, use_bidirectional_attention=True),
    "gemma3, told": Gemma3TextConfig(**GATED, use_bidirectional_attention=True),
    "xlnet": AutoConfig.for_model("xlnet", **XLNET),
    "xlm": AutoConfig.for_model("xlm", **XLM),
    "cpmant": AutoConfig.for_model("cpmant", **CPMANT),
}
CAUSAL = {
    **{f"{kind}, a decoder": of_berts_kind(kind, True) for kind in OF_BERTS_KIND},
    "llama": LlamaConfig(**GATED),
    "gemma3": Gemma3TextConfig(**GATED),
    # Its attention says nothing of it, and has a mask.
    "bigbird_pegasus": AutoConfig.for_model("bigbird_pegasus", **PEGASUS),
    # Of its modules the image encoder reads both ways.
    "git": AutoConfig.for_model("git", **SIZES, vision_config=IMAGES),
    # It has the setting and does not heed it.
    "gpt_neox": GPTNeoXConfig(**SIZES, is_decoder=False),
    "xlnet, told": AutoConfig.for_model("xlnet", **XLNET, attn_type="uni"),
    "xlm, told": AutoConfig.for_model("xlm", **XLM, causal=True),
}


def built(config: PreTrainedConfig) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def looks_ahead(model: Any) -> bool:
    """Whether another last token changes the answers before it."""
    ids = torch.arange(10, 20)[None].repeat(2, 1)
    ids[1, -1] = 30
    with torch.no_grad():
        one, other = model(ids).logits
    return not torch.allclose(one[:-1], other[:-1], atol=1e-4)


@pytest.mark.parametrize("name", READ_BOTH_WAYS)
def test_what_reads_both_ways_is_refused(name: str) -> None:
    model = built(READ_BOTH_WAYS[name])
    assert looks_ahead(model)
    with pytest.raises(Unsupported, match=r"\A\w+ is not causal \(.*\Z"):
        LayerTap(model)


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_causal_is_taken(name: str) -> None:
    model = built(CAUSAL[name])
    assert not looks_ahead(model)
    LayerTap(model)


def test_a_model_that_predicts_masked_tokens_is_refused() -> None:
    model = AutoModelForMaskedLM.from_config(DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=16))
    with pytest.raises(Unsupported, match="DistilBertForMaskedLM is not causal"):
        LayerTap(model)


def test_attention_that_says_so_is_believed_whatever_the_configuration_says() -> None:
    model = built(LlamaConfig(**GATED))
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    assert looks_ahead(model)
    with pytest.raises(Unsupported, match="its attention says is_causal=False"):
        LayerTap(model)


@pytest.mark.parametrize(
    "kind", ["llada", "llada2_moe", "Dream", "sdar_moe", "Fast_dLLM_Qwen", "bd3lm", "a2d-qwen3", "diffusion_gemma"]
)
def test_diffusion_models_are_known_by_their_names(kind: str) -> None:
    assert "diffusion model" in str(why_not_causal(SimpleNamespace(model_type=kind)))


def test_of_a_model_of_text_and_images_the_text_counts() -> None:
    both_ways = {"model_type": "gemma3_text", "use_bidirectional_attention": True}
    assert why_not_causal({"model_type": "gemma3", "text_config": both_ways})
    assert not why_not_causal({"model_type": "gemma4", "text_config": {"use_bidirectional_attention": "vision"}})
    assert not why_not_causal({"model_type": "gemma3", "vision_config": {"is_causal": False}})


def test_the_queue_and_the_plugin_agree() -> None:
    """Each has the rule for itself: the one reads a file without torch, the other a loaded model's configuration."""
    for name, config in (READ_BOTH_WAYS | CAUSAL).items():
        said = json.loads(config.to_json_string()) | {"architectures": [type(built(config)).__name__]}
        reason, why = reason_against(said) or (None, "")
        assert ("reads both ways" in why) == (name in READ_BOTH_WAYS) == (why_not_causal(said) is not None), name
        assert reason in (None, Reason.NOT_CAUSAL_LM)
