"""The real vLLM engine on a tiny Llama, under settings that change what its scheduler and its workers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from reference import profile, states
from transformers import AutoModelForCausalLM
from vllm_engine import ALL, agree, engine, heard, news, prompted, requests, rolled, save_small

from lm_eval_dispersion.capture import capture_for

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.slow
def test_each_state_counts_once_in_a_tensor_parallel_group(folder: Path, model: Any) -> None:
    with engine(folder, apart=True, tensor_parallel_size=2, batch_size="auto") as lm:
        assert capture_for(lm).describe()["engine"]["processes"] == 2
        assert agree(model, lm, news(), within=1e-5, nats=1e-4, layers=slice(None)) >= 5


def preemptions(lm: Any) -> int:
    return sum(m.value for m in lm.model.get_metrics() if m.name == "vllm:num_preemptions")


def test_a_prompt_that_is_preempted_and_run_again_counts_once(folder: Path, model: Any) -> None:
    """Six prompts that grow by 120 tokens each, in a cache that holds two of them whole."""
    arguments = {"block_size": 32, "num_gpu_blocks_override": 17, "max_num_batched_tokens": 64}
    with engine(folder, max_model_len=320, disable_log_stats=False, batch_size="auto", **arguments) as lm:
        prompts = [lm.tokenizer.decode(lm.tok_encode(text)[:120]) for text in news()[:4]]
        prompts += [lm.tokenizer.decode(lm.tok_encode(text)[120:200]) for text in news()[:2]]
        settings = {"until": [], "max_gen_toks": 120, "do_sample": False, "ignore_eos": True}
        made = requests("generate_until", [(prompt, settings) for prompt in prompts])
        before = preemptions(lm)
        _, found, sums = prompted(capture_for(lm).generate_until, made)
        assert preemptions(lm) > before
        vectors = [states(model, lm.tok_encode(prompt)) for prompt in prompts]
    for i, expected in enumerate(vectors):
        assert found[i].vectors == expected.shape[1]
        np.testing.assert_allclose(found[i].dispersion, profile(expected), atol=1e-5)
    assert sums.across.count.tolist() == [len(prompts)] * len(vectors[0])
    lasts = torch.stack([h[:, -1] for h in vectors], 1)
    np.testing.assert_allclose(sums.across.dispersion()[0], profile(lasts), atol=1e-5)


def test_one_sequence_at_a_time_with_and_without_recording(folder: Path, model: Any) -> None:
    with heard() as lines, engine(folder, worker_extension_cls="", max_num_seqs=1, batch_size="auto") as lm:
        assert agree(model, lm, news(), within=1e-5, nats=1e-4, layers=slice(-1, None)) >= 5
        made = requests("loglikelihood", [(text, " and so on") for text in news()])
        first, second = ([a for a, _ in lm.loglikelihood(made)] for _ in range(2))
        recorded, found, _ = prompted(capture_for(lm).loglikelihood, made)
        noise = np.abs(np.subtract(first, second)).max()
        assert np.abs(np.subtract(first, [a for a, _ in recorded])).max() <= noise
        assert len(found) == len(made)
        again, *_ = rolled(lm, news())
        assert again == rolled(lm, news())[0]
    # Said once an engine, whatever is recorded on it.
    (said,) = lines
    assert said.levelname == "INFO" and said.getMessage().endswith(f"add worker_extension_cls={ALL} to --model_args")


def test_an_adapter_is_at_work_in_what_is_recorded(folder: Path, model: Any, tmp_path: Path) -> None:
    """One sequence at a time: of more, vLLM's CPU build computes no prompt log-probabilities with an adapter."""
    torch.manual_seed(0)
    config = LoraConfig(r=8, task_type=TaskType.CAUSAL_LM, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config).eval()
    adapted.save_pretrained(tmp_path)
    with engine(folder, lora_local_path=str(tmp_path), max_num_seqs=1, batch_size="auto") as lm:
        assert agree(adapted, lm, news(), within=1e-5, nats=1e-4, layers=slice(None)) >= 5
        assert capture_for(lm).describe()["model"]["peft"]
        tokens = lm.tok_encode(news()[0])
    assert abs(profile(states(adapted, tokens)) - profile(states(model, tokens)))[-1] > 1e-3
