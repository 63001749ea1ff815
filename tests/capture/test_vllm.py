"""The real vLLM engine against transformers' own hidden states and all pairs in float64."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli, CliHere, results
from jsonschema import validate
from models import END, train_tokenizer
from reference import leading, profile, signals, states
from transformers import AutoModelForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig
from vllm_engine import ALL, MACHINE, agree, engine, heard, news, prompted, requests, rolled, save_small

from lm_eval_dispersion import Definition
from lm_eval_dispersion.capture import Owner, Sums, Unsupported, capture_for
from lm_eval_dispersion.geometry import SIGNALS
from lm_eval_dispersion.record import schema

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def lm(folder: Path) -> Iterator[Any]:
    """As a user starts it: engine and worker apart, compiled graphs. Prompts in chunks, prefixes cached."""
    arguments = {"enforce_eager": False, "max_num_batched_tokens": 192, "enable_prefix_caching": True}
    with engine(folder, apart=True, **arguments) as found:
        yield found


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return news()


def test_every_layer_of_every_window_is_that_of_transformers(lm: Any, model: Any, texts: list[str]) -> None:
    assert agree(model, lm, texts, within=1e-5, nats=1e-4, layers=slice(None)) >= 5
    assert Definition().cut_at(capture_for(lm).limit) == Definition()


@pytest.mark.slow
@pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])
def test_every_layer_of_a_real_model_is_that_of_transformers(smollm2: Path, texts: list[str], eager: bool) -> None:
    reference = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    with engine(smollm2, max_num_batched_tokens=192, batch_size="auto", enforce_eager=eager) as lm:
        assert agree(reference, lm, texts, within=1e-5, nats=1e-4, layers=slice(None)) >= 5


def test_prompts_are_reduced_without_prefix_and_continuation(lm: Any, model: Any, texts: list[str]) -> None:
    contexts = [texts[0], texts[1][:200], texts[3], texts[0]]
    made = requests("loglikelihood", [(context, " the end of it") for context in contexts])
    answers, found, sums = prompted(capture_for(lm).loglikelihood, made)
    stock = lm.loglikelihood(made)
    lasts = []
    for i, context in enumerate(contexts):
        tokens = lm.tok_encode(context)
        whole = lm.tok_encode(context + " the end of it")
        cut = max(0, len(whole) - 1023)
        skip = 0 if cut else leading(tokens, {lm.eot_token_id, lm.tokenizer.bos_token_id})
        vectors = states(model, whole[cut:])[:, skip : len(tokens) - cut]
        assert found[i].vectors == vectors.shape[1] and found[i].truncated == (cut > 0)
        np.testing.assert_allclose(found[i].dispersion, profile(vectors), atol=1e-5)
        lasts.append(vectors[:, -1])
        assert answers[i][0] == pytest.approx(stock[i][0], abs=1e-3)
    # The same prompt in two documents is reduced once and counts in both.
    assert found[2].truncated and found[0].dispersion.tolist() == found[3].dispersion.tolist()
    assert sums.across.count.tolist() == [4] * len(lasts[0]) and not len(sums.all_pairs.count)
    np.testing.assert_allclose(sums.across.dispersion()[0], profile(torch.stack(lasts, 1)), atol=1e-5)
    units = torch.nn.functional.normalize(torch.stack(lasts)[:, -1], dim=-1)
    assert sums.vectors is not None and sums.vectors.counts == dict.fromkeys(range(4), 1)
    np.testing.assert_allclose(sums.vectors.of(range(4)), units, atol=1e-5)


def test_signals_of_a_prompt_that_comes_in_chunks_are_those_of_the_whole(lm: Any, model: Any, texts: list[str]) -> None:
    contexts = [texts[0], texts[1][:200], texts[3], END + texts[2]]
    made = requests("loglikelihood", [(context, " the end of it") for context in contexts])
    capture, definition = capture_for(lm), Definition(signals="all", signal_layers=(0, 2), layers="last")
    found: dict[int, Any] = {}
    owners = {i: Owner(Sums(), i) for i in range(len(made))}
    capture.loglikelihood(made, owners, found.__setitem__, definition)
    assert capture.signal_layers(definition) == [0, 2]
    for i, context in enumerate(contexts):
        tokens = lm.tok_encode(context)
        whole = lm.tok_encode(context + " the end of it")
        cut = max(0, len(whole) - 1023)
        skip = 0 if cut else leading(tokens, {lm.eot_token_id})
        sent = whole[cut:]
        vectors = states(model, sent)[:, skip : len(tokens) - cut]
        expected = [signals(vectors[layer]) for layer in (0, 2)]
        for place, one in enumerate(expected):
            named = dict(zip(SIGNALS, found[i].signals[:, place], strict=True))
            assert named == pytest.approx(one, rel=1e-3, abs=1e-5)
        with torch.no_grad():
            told = model(torch.tensor([sent])).logits[0].log_softmax(-1)
        scored = range(max(1, skip), len(tokens) - cut)
        assert found[i].tokens == len(scored)
        total = sum(float(told[j - 1, sent[j]]) for j in scored)
        assert found[i].loglikelihood == pytest.approx(total, abs=1e-4 * len(scored))


def test_a_prompt_whose_prefix_is_cached_keeps_all_its_vectors(lm: Any, model: Any, texts: list[str]) -> None:
    prompts = [texts[0], texts[0] + texts[1][:80], texts[0]]
    made = requests(
        "generate_until", [(p, {"until": ["\n\n"], "max_gen_toks": 4, "do_sample": False}) for p in prompts]
    )
    stock = lm.generate_until(made)  # and so fills the engine's cache of prefixes
    answers, found, sums = prompted(capture_for(lm).generate_until, made)
    for i, prompt in enumerate(prompts):
        tokens = lm.tok_encode(prompt)
        vectors = states(model, tokens)[:, leading(tokens, {lm.eot_token_id, lm.tokenizer.bos_token_id}) :]
        assert found[i].vectors == vectors.shape[1]
        np.testing.assert_allclose(found[i].dispersion, profile(vectors), atol=1e-5)
    assert answers == stock and sums.across.count.tolist() == [3] * len(vectors)


@pytest.mark.parametrize("side", ["left", "right", "middle"])
def test_of_a_prompt_that_was_cut_the_prefix_counts_nowhere_if_its_beginning_is_left(
    lm: Any, model: Any, texts: list[str], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left where it is cut at the left begins with an end of text too, by chance: that one counts."""
    text = END + texts[0] + END + texts[1][:100]
    tokens = lm.tok_encode(text)
    end = len(tokens) - tokens[::-1].index(lm.eot_token_id) - 1
    last = len(tokens) - end
    sent = {"left": tokens[end:], "right": tokens[:last], "middle": tokens[:last] + tokens[end:]}[side]
    assert sent[0] == lm.eot_token_id and sent[1] != sent[0] and 2 * last < len(tokens)
    monkeypatch.setattr(lm, "truncation_side", side)
    monkeypatch.setattr(lm, "_max_length", len(sent) + 4)
    made = requests("generate_until", [(text, {"until": ["\n\n"], "max_gen_toks": 4, "do_sample": False})])
    _, found, _ = prompted(capture_for(lm).generate_until, made)
    vectors = states(model, sent)[:, 0 if side == "left" else 1 :]
    assert found[0].truncated and found[0].vectors == vectors.shape[1]
    np.testing.assert_allclose(found[0].dispersion, profile(vectors), atol=1e-5)


def test_a_worker_that_is_not_recording_is_left_alone(lm: Any, texts: list[str]) -> None:
    rolled(lm, texts[:1])
    assert lm.model.collective_rpc("dispersion_take") == [b""]
    assert lm.model.collective_rpc("dispersion_listens") == [[]]


def test_a_model_that_does_not_show_all_layers_gives_the_last_and_says_why(tmp_path: Path, texts: list[str]) -> None:
    tokenizer = train_tokenizer(tmp_path)
    shape = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 1024}
    special = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    torch.manual_seed(0)
    config = Gemma3TextConfig(**shape, **heads, **special, initializer_range=0.1)
    reference = Gemma3ForCausalLM(config).eval()
    reference.save_pretrained(tmp_path)
    with heard() as lines, engine(tmp_path, batch_size=2) as lm:
        assert agree(reference, lm, texts[:2], within=1e-5, nats=1e-4, layers=slice(-1, None)) >= 2
        (said,) = lines
        assert said.levelname == "WARNING" and "\n" not in said.getMessage()
        assert "last hidden state only" in said.getMessage() and "Gemma3ForCausalLM" in said.getMessage()
        capture = capture_for(lm)
        assert capture.layers(Definition()) == [reference.config.num_hidden_layers]
        # Twice asked for, once said.
        asked = Definition(signals="all", signal_layers="all")
        assert capture.signal_layers(asked) == capture.signal_layers(asked) == [reference.config.num_hidden_layers]
        (told,) = lines[1:]
        assert told.getMessage().startswith("signals of Gram matrices of the last hidden state only: ")
        assert capture.describe()["model"]["parameters"] == reference.num_parameters()


@pytest.mark.parametrize("which", ["folder", pytest.param("smollm2", marks=pytest.mark.slow)])
def test_bfloat16(request: pytest.FixtureRequest, which: str, texts: list[str]) -> None:
    folder = request.getfixturevalue(which)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with engine(folder, dtype="bfloat16", batch_size=2) as lm:
        assert agree(reference, lm, texts, within=1e-2, nats=0.05, layers=slice(None)) >= 5


def test_the_command_line_records_beside_stock_numbers(
    cli: Cli, cli_here: CliHere, smollm2: Path, tmp_path: Path
) -> None:
    tasks = "dispersion_demo_news,dispersion_demo_mmlu"
    shared = ("--tasks", tasks, "--limit", "3")
    arguments = f"pretrained={smollm2},dtype=float32"
    done = cli("--model", "vllm", "--model_args", f"{arguments},max_model_len=1024,enforce_eager=True", *shared,
        "--output_path", str(tmp_path / "vllm"), **MACHINE)  # fmt: skip
    (said,) = [line for line in done.stderr.splitlines() if "dispersion of the last hidden state" in line]
    assert said.endswith(f"for all layers add worker_extension_cls={ALL} to --model_args")
    to = ("--output_path", str(tmp_path / "hf"))
    cli_here("--model", "hf", "--device", "cpu", "--model_args", arguments, *shared, *to)
    ours, theirs = results(tmp_path / "vllm"), results(tmp_path / "hf")
    for task in tasks.split(","):
        record, other = (run["configs"][task]["metadata"]["dispersion"] for run in (ours, theirs))
        validate(record, schema())
        assert record["layers"] == [30] and record["engine"]["name"] == "vllm"
        assert record["counts"] == other["counts"] and record["model"] == other["model"]
        assert record["within"]["mean"][0] == pytest.approx(other["within"]["mean"][-1], abs=1e-5)
        assert record["signals"].keys() == other["signals"].keys()
        for name, one in other["signals"].items():
            assert record["signals"][name]["mean"] == pytest.approx(one["mean"], rel=1e-3, abs=1e-4)
        for metric, value in theirs["results"][task].items():
            if isinstance(value, float) and "stderr" not in metric:
                assert ours["results"][task][metric] == pytest.approx(value, rel=1e-3, abs=1e-5), (task, metric)


def test_another_model_is_refused_in_one_line_where_vllm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.delitem(sys.modules, "lm_eval.models.vllm_causallms", raising=False)
    with pytest.raises(Unsupported, match="gives no hidden states"):
        capture_for(SimpleNamespace())


def test_engines_out_of_reach_are_refused() -> None:
    from lm_eval.models.vllm_causallms import VLLM

    lm = VLLM.__new__(VLLM)
    lm.data_parallel_size = 2
    with pytest.raises(Unsupported, match=r"data_parallel_size .* tensor_parallel_size"):
        capture_for(lm)
    lm.data_parallel_size = 1
    stages = SimpleNamespace(parallel_config=SimpleNamespace(pipeline_parallel_size=2))
    lm.model = SimpleNamespace(llm_engine=SimpleNamespace(vllm_config=stages))
    with pytest.raises(Unsupported, match=r"pipeline_parallel_size .* tensor_parallel_size"):
        capture_for(lm)
    stages.parallel_config.pipeline_parallel_size = 1
    stages.model_config = SimpleNamespace(hf_config=LlamaConfig(is_causal=False))
    with pytest.raises(Unsupported, match=r"not causal \(.*is_causal=False\)"):
        capture_for(lm)
