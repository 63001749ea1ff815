"""The hidden states that pass by are transformers' own `output_hidden_states`, whatever the architecture."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma3Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    JambaConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    OlmoeConfig,
    OlmoHybridConfig,
    OPTConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.modeling_outputs import CausalLMOutput, ModelOutput

from lm_eval_dispersion.capture import AttributionError, Owner, Reduced, Sums, Unsupported
from lm_eval_dispersion.capture._layers import LayerTap
from lm_eval_dispersion.capture._reduce import Reductions
from lm_eval_dispersion.capture._spans import Span

VOCABULARY, WIDTH = 300, 20

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GATED = SIZES | {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
GEMMA3 = GATED | {"sliding_window": 8, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]}
IMAGES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2} | {
    "image_size": 28,
    "patch_size": 14,
}

ARCHITECTURES = {
    "llama": LlamaConfig(**GATED),
    "qwen2": Qwen2Config(**GATED),
    "qwen3": Qwen3Config(**GATED),
    "gemma": GemmaConfig(**GATED),
    "gemma3": Gemma3TextConfig(**GEMMA3),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=4, n_head=4, n_positions=64, bos_token_id=1),
    "gpt_neox": GPTNeoXConfig(**SIZES, intermediate_size=48),
    "opt": OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32),
    "opt-post-norm": OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32, do_layer_norm_before=False),
    "phi": PhiConfig(**SIZES, intermediate_size=48),
    "mistral": MistralConfig(**GATED, sliding_window=8),
    "mixtral": MixtralConfig(**GATED, num_local_experts=4),
    "olmoe": OlmoeConfig(**SIZES, intermediate_size=16, num_experts=4, num_experts_per_tok=2),
    # Blocks of two classes.
    "jamba": JambaConfig(
        **SIZES, intermediate_size=48, num_key_value_heads=2, num_experts=2, attn_layer_period=2, attn_layer_offset=1
    ),
    "olmo_hybrid": OlmoHybridConfig(
        **SIZES, intermediate_size=48, layer_types=["linear_attention", "full_attention", "linear_attention"]
    ),
    # A decoder beside an image encoder.
    "gemma3-images": Gemma3Config(text_config=GEMMA3, vision_config=IMAGES, mm_tokens_per_image=4),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, state_size=8),
    "falcon": FalconConfig(**SIZES, new_decoder_architecture=False),
    "bloom": BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=3, n_head=4),
}
UNDECLARED = ("mamba", "falcon", "bloom")  # to transformers, which modules give the hidden states


def tiny(name: str) -> PreTrainedModel:
    """A random model whose layers differ: norms and biases count as they do after training. Its config is its own."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(deepcopy(ARCHITECTURES[name]), dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -1, 1)
        else:
            nn.init.normal_(parameter, std=0.2)
    return model


# Three rows, the second padded on the right and the third on the left; each begins with a prefix left out.
SPANS = [Span(0, 1, WIDTH), Span(1, 1, 13), Span(2, 9, WIDTH)]


def batch() -> dict[str, Tensor]:
    ids = torch.randint(3, VOCABULARY, (3, WIDTH), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 13:], mask[2, :8] = 0, 0
    ids[[0, 1, 2], [0, 0, 8]] = 1
    return {"input_ids": ids * mask, "attention_mask": mask}


def brute_force(vectors: Tensor) -> float:
    x = vectors.to(torch.float64)
    x = x / x.norm(dim=-1, keepdim=True)
    return (1 - x @ x.T)[~torch.eye(len(x), dtype=torch.bool)].mean().item()


def tapped(model: nn.Module, spans: list[Span] = SPANS) -> tuple[ModelOutput, list[Reduced], Sums]:
    """What a model gives for a batch, and what the batch's spans are reduced to, in one forward pass.

    Span number i is of document i, so each has a jackknife group of its own in the sums.
    """
    sums = Sums()
    owned = [replace(span, owners=(Owner(sums, i),)) for i, span in enumerate(spans)]
    tap, reductions = LayerTap(model), Reductions(totals=True)
    with torch.no_grad(), tap.attached(), reductions.see(owned, 3, WIDTH) as show, tap.listening(show):
        output = model(**batch())
    results = reductions.results()
    reductions.settle()
    assert [span for span, _ in results] == owned
    return output, [reduced for _, reduced in results], sums


def assert_reduces_transformers_own_states(model: nn.Module, spans: list[Span] = SPANS, virtual: int = 0) -> None:
    """Compares D, last position and sum of every span and layer with `output_hidden_states`."""
    _, results, sums = tapped(model, spans)
    across, all_pairs = ({group: found for group, *found in pairs.groups()} for pairs in (sums.across, sums.all_pairs))
    with torch.no_grad():
        states = model(**batch(), output_hidden_states=True).hidden_states
    assert states[0].shape[:2] == (3, virtual + WIDTH)
    for i, (span, reduced) in enumerate(zip(spans, results, strict=True)):
        assert reduced.vectors == span.stop - span.start
        assert not reduced.zero.any() and not reduced.nonfinite.any()
        assert len(reduced.dispersion) == len(states)
        expected = []
        for layer, state in enumerate(states):
            own = state[span.row, virtual + span.start : virtual + span.stop]
            unit = nn.functional.normalize(own.double(), dim=-1).numpy()
            expected.append(brute_force(own))
            assert reduced.dispersion[layer] == pytest.approx(expected[-1], abs=1e-5)
            assert across[i][0][layer] == pytest.approx(unit[-1], abs=1e-5) and across[i][1][layer] == 1
            assert all_pairs[i][0][layer] == pytest.approx(unit.sum(0), abs=1e-4)
            assert all_pairs[i][1][layer] == reduced.vectors
        # were two layers alike, taking one for the other would go unseen
        assert min(abs(a - b) for a, b in pairwise(expected)) > 1e-4


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer_is_the_one_transformers_gives(name: str) -> None:
    assert_reduces_transformers_own_states(tiny(name))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_logits_are_untouched_by_one_pass_and_no_hook_stays(name: str) -> None:
    model = tiny(name)
    with torch.no_grad():
        stock = model(**batch()).logits
    passes: list[int] = []
    counter = model.get_input_embeddings()
    embed = counter.forward
    counter.forward = lambda *args: passes.append(1) or embed(*args)
    hooks = _hooks(model)
    output, *_ = tapped(model)
    assert torch.equal(output.logits, stock)
    assert len(passes) == 1
    assert _hooks(model) == hooks == 0
    if name not in UNDECLARED:  # then no more than one layer's states are held at a time
        assert output.hidden_states is None


def _hooks(model: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) + len(m._backward_pre_hooks)
        for m in model.modules()
    )


def test_no_hook_stays_after_a_pass_that_failed() -> None:
    model = tiny("llama")
    tap = LayerTap(model)
    with pytest.raises(IndexError), tap.attached(), tap.listening(lambda layer, state: None):
        model(torch.tensor([[VOCABULARY]]))
    assert _hooks(model) == 0


@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_spans_may_be_any_rows_in_any_order(name: str) -> None:
    spans = [Span(2, 9, WIDTH), Span(0, 1, 9), Span(0, 5, WIDTH, truncated=True)]
    assert_reduces_transformers_own_states(tiny(name), spans)
    assert [reduced.truncated for reduced in tapped(tiny(name), spans)[1]] == [False, False, True]


@pytest.mark.parametrize("name", ["llama", "gpt2", "mamba"])
def test_half_precision_models(name: str) -> None:
    assert_reduces_transformers_own_states(tiny(name).to(torch.bfloat16))


@pytest.mark.parametrize("name", ["llama", "bloom"])
def test_of_a_generation_the_prompts_pass_is_reduced_and_no_later_one(name: str) -> None:
    model = tiny(name)
    prompt = {key: value[[0, 2]] for key, value in batch().items()}
    sums = Sums()
    spans = [Span(0, 1, WIDTH, owners=(Owner(sums, 0), Owner(sums, 1))), Span(1, 9, WIDTH)]
    tap, reductions = LayerTap(model), Reductions(totals=False)
    stock = model.generate(**prompt, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    with tap.attached(), reductions.see(spans, 2, WIDTH) as show, tap.listening(show):
        texts = model.generate(**prompt, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert torch.equal(texts, stock)
    with torch.no_grad():
        states = model(**prompt, output_hidden_states=True).hidden_states
    for row, (span, reduced) in enumerate(reductions.results()):
        expected = [brute_force(state[row, span.start :]) for state in states]
        assert reduced.dispersion == pytest.approx(expected, abs=1e-5)
    reductions.settle()
    # The first prompt is of two documents, the second of none; of a prompt only the last vector is wanted.
    assert [group for group, *_ in sums.across.groups()] == [0, 1]
    assert sums.across.count.tolist() == [2] * len(states) and not list(sums.all_pairs.groups())


def test_a_pass_nobody_listens_to_is_left_alone() -> None:
    model = tiny("falcon")
    with torch.no_grad(), LayerTap(model).attached():
        assert model(**batch()).hidden_states is None


def test_listening_to_no_pass_fails() -> None:
    tap = LayerTap(tiny("llama"))
    with (
        pytest.raises(AttributionError, match="LlamaForCausalLM: no whole forward pass"),
        tap.attached(),
        tap.listening(lambda layer, state: None),
    ):
        pass


def test_a_projected_last_state_of_another_size() -> None:
    """OPT-350m's hidden states have 1024 components and its last one 512."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=16)).eval()
    tap, reductions = LayerTap(model), Reductions(totals=False)
    with torch.no_grad(), tap.attached(), reductions.see(SPANS, 3, WIDTH) as show, tap.listening(show):
        model(**batch())
    with torch.no_grad():
        states = model(**batch(), output_hidden_states=True).hidden_states
    for span, reduced in reductions.results():
        expected = [brute_force(state[span.row, span.start : span.stop]) for state in states]
        assert reduced.dispersion == pytest.approx(expected, abs=1e-5)


# --- adapters


@pytest.mark.parametrize(("name", "adapted"), [("llama", ["q_proj", "v_proj"]), ("falcon", ["query_key_value"])])
def test_lora_adapters(name: str, adapted: list[str]) -> None:
    torch.manual_seed(0)
    lora = LoraConfig(task_type=TaskType.CAUSAL_LM, target_modules=adapted, init_lora_weights=False)
    plain = [reduced.dispersion for reduced in tapped(tiny(name))[1]]
    model = get_peft_model(tiny(name), lora).eval()
    # the adapter is at work in what is compared
    assert abs(tapped(model)[1][0].dispersion[-1] - plain[0][-1]) > 1e-3
    assert _hooks(model) == 0
    assert_reduces_transformers_own_states(model)


def test_virtual_tokens_of_prompt_tuning_do_not_count() -> None:
    torch.manual_seed(0)
    prompt = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=4)
    model = get_peft_model(tiny("llama"), prompt).eval()
    assert_reduces_transformers_own_states(model, virtual=4)


# --- models that cannot be measured


def test_an_encoder_decoder_is_refused() -> None:
    config = T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    with pytest.raises(Unsupported, match=r"\AT5ForConditionalGeneration is an encoder-decoder.*\Z"):
        LayerTap(T5ForConditionalGeneration(config))


def test_what_is_no_transformers_model_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"\ASequential is no transformers model.*\Z"):
        LayerTap(nn.Sequential(nn.Embedding(VOCABULARY, 8), nn.Linear(8, VOCABULARY)))


class SilentForCausalLM(PreTrainedModel):
    """Answers `output_hidden_states=True` with logits alone."""

    config_class = PreTrainedConfig

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.embed, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, VOCABULARY)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **ignored: object) -> CausalLMOutput:
        return CausalLMOutput(logits=self.head(self.embed(input_ids)))


def test_a_model_that_keeps_its_hidden_states_to_itself_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"\ASilentForCausalLM .*output_hidden_states.*\Z"):
        tapped(SilentForCausalLM(PreTrainedConfig()))


@pytest.mark.parametrize("shared", [[0, 0, 2], [0, 1, 0], [0, 0, 0]])
def test_a_block_that_runs_twice_in_a_pass_is_an_error(shared: list[int]) -> None:
    model = tiny("llama")
    model.config.use_cache = False
    blocks = model.model.layers
    model.model.layers = nn.ModuleList(blocks[i] for i in shared)
    with pytest.raises(Unsupported, match="LlamaForCausalLM runs a block more than once in a pass"):
        tapped(model)


def test_a_block_left_out_of_a_pass_is_an_error() -> None:
    model = tiny("llama")
    model.model.config.num_hidden_layers = 2  # its forward then stops after two of three
    with pytest.raises(AttributionError, match="LlamaForCausalLM: 2 of 3 blocks"):
        tapped(model)


@pytest.mark.parametrize(
    ("batch_size", "width"), [(2, WIDTH), (4, WIDTH), (3, WIDTH + 1)], ids=["fewer-rows", "more-rows", "narrower"]
)
def test_states_that_do_not_fit_the_input_are_an_error(batch_size: int, width: int) -> None:
    model = tiny("llama")
    tap, reductions = LayerTap(model), Reductions(totals=False)
    with pytest.raises(AttributionError, match="hidden state 0 has shape"), tap.attached():  # noqa: SIM117
        with torch.no_grad(), reductions.see([Span(0, 1, WIDTH)], batch_size, width) as show, tap.listening(show):
            model(**batch())
    assert _hooks(model) == 0
