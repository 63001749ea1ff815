"""What a record says of a model: true where it can be known, null where not, and never an error or a question."""

from __future__ import annotations

import builtins
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    GptOssConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from lm_eval_dispersion.capture._describe import describe, parameters_of, quantisation_of, tokenizer_hash

TEXT = {
    "vocab_size": 96,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
IMAGES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
QWEN_IMAGES = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
COMPOSITE = {
    "Mistral3Config": {"text_config": TEXT | {"model_type": "mistral"}, "vision_config": IMAGES},
    "LlavaConfig": {"text_config": TEXT | {"model_type": "llama"}, "vision_config": IMAGES},
    "InternVLConfig": {"text_config": TEXT | {"model_type": "qwen2"}, "vision_config": IMAGES},
    "Qwen2_5_VLConfig": {"text_config": TEXT, "vision_config": QWEN_IMAGES},
    "Qwen3VLConfig": {"text_config": TEXT, "vision_config": QWEN_IMAGES},
    "Glm4vConfig": {"text_config": TEXT, "vision_config": QWEN_IMAGES},
    "Idefics3Config": {"text_config": TEXT | {"model_type": "llama"}, "vision_config": IMAGES},
}
# What transformers keeps of these methods in a configuration.
PACKED = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True},
}


def count(model: Any) -> int:
    """Of its weights, each once."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: Any) -> str:
        pytest.fail(f"asked: {args}")

    monkeypatch.setattr(builtins, "input", asked)


@pytest.mark.parametrize("name", COMPOSITE)
def test_a_model_of_text_and_images_is_counted_whole(name: str) -> None:
    config = getattr(transformers, name)(**deepcopy(COMPOSITE[name]))
    before = config.to_dict()
    assert parameters_of(config) == count(AutoModelForMultimodalLM.from_config(deepcopy(config)))
    assert config.to_dict() == before


@pytest.mark.parametrize("method", PACKED)
def test_packed_weights_are_counted_as_the_configuration_says(method: str) -> None:
    config = LlamaConfig(**TEXT)
    model = AutoModelForCausalLM.from_config(deepcopy(config))
    expected = count(model)
    packed: Any = deepcopy(config)
    packed.quantization_config = PACKED[method]
    assert parameters_of(packed) == expected
    assert packed.quantization_config == PACKED[method]
    # As a loaded model of such weights: fewer numbers.
    model.config = packed
    model.model.layers = model.model.layers[:1]
    found = describe(SimpleNamespace(model=model, tokenizer=None, world_size=1))["model"]
    assert (found["parameters"], found["quantisation"]) == (expected, method)


def test_experts_in_mxfp4_are_counted_as_the_configuration_says() -> None:
    config: Any = GptOssConfig(**TEXT, num_local_experts=4, layer_types=["sliding_attention", "full_attention"])
    expected = count(AutoModelForCausalLM.from_config(deepcopy(config)))
    config.quantization_config = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    assert parameters_of(config) == expected


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, None),
        ({}, None),
        ({"quant_method": "gptq"}, "gptq"),
        ({"load_in_4bit": True}, "unknown"),
        (transformers.BitsAndBytesConfig(), "bitsandbytes"),
    ],
    ids=["none", "empty", "dict", "nameless", "object"],
)
def test_quantisation_is_named_wherever_the_configuration_keeps_it(given: Any, name: str | None) -> None:
    config: Any = LlamaConfig(**TEXT)
    config.quantization_config = given
    whole = transformers.LlavaConfig(text_config=TEXT | {"model_type": "llama"}, vision_config=IMAGES)
    whole.text_config.quantization_config = given
    assert quantisation_of(config) == quantisation_of(whole) == name


class OwnConfig(PreTrainedConfig):
    model_type = "own_code"

    def get_text_config(self, **_: Any) -> PreTrainedConfig:
        raise ValueError("ambiguous")


class Own(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embed = torch.nn.Embedding(3, 4)


def test_a_configuration_with_code_of_its_own_asks_nothing() -> None:
    config: Any = OwnConfig()
    config.auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}
    assert parameters_of(config) is None
    assert parameters_of(config, Own) == 12


def test_every_field_is_null_rather_than_an_error() -> None:
    class Model:
        """Without a type, a count, a configuration that anyone knows."""

        config = SimpleNamespace()

        @property
        def dtype(self) -> None:
            raise StopIteration

        def num_parameters(self) -> int:
            raise NotImplementedError

    class Tokenizer:
        def get_vocab(self) -> None:
            raise NotImplementedError

    found = describe(SimpleNamespace(model=Model(), tokenizer=Tokenizer(), world_size=1))
    assert found["engine"]["dtype"] is None
    unknown = {"model_type", "layers", "hidden_size", "vocab_size", "parameters", "quantisation", "tokenizer_hash"}
    assert found["model"] == {**dict.fromkeys(unknown), "peft": False}
    # Code of its own raises where its configuration is asked for the text part.
    own = describe(SimpleNamespace(model=Own(OwnConfig()), tokenizer=Tokenizer(), world_size=1))
    assert own["model"]["model_type"] == "own_code" and own["model"]["parameters"] == 12


def test_a_tokenizer_without_a_backend_is_known_by_its_vocabulary() -> None:
    def tokenizer(vocabulary: dict[str, int]) -> Any:
        return SimpleNamespace(get_vocab=lambda: vocabulary)

    one, same, other = ({"a": 0, "b": 1}, {"b": 1, "a": 0}, {"a": 1, "b": 0})
    assert tokenizer_hash(tokenizer(one)) == tokenizer_hash(tokenizer(same)) != tokenizer_hash(tokenizer(other))
