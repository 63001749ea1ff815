"""What is told of a model by its name, and what the user tells instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dispersion_leaderboard.records import Conventions, read_conventions, read_records
from runs import new_run, one, read, write

FAMILIES = {
    "EleutherAI/pythia-1.4b-deduped": "Pythia", "databricks/dolly-v2-3b": "Pythia",
    "HuggingFaceTB/SmolLM-135M": "SmolLM", "HuggingFaceTB/SmolLM-360M": "SmolLM",
    "HuggingFaceTB/SmolLM2-360M": "SmolLM2",
    "SmolLM2-135M-Instruct.Q4_1": "SmolLM2", "HuggingFaceTB/SmolLM3-3B": "SmolLM3",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "TinyLlama", "openlm-research/open_llama_3b_v2": "OpenLLaMA",
    "codellama/CodeLlama-34b-hf": "Code Llama", "huggyllama/llama-30b": "Llama", "huggyllama/llama-7b": "Llama",
    "meta-llama/Llama-2-7b-hf": "Llama 2", "NousResearch/LLaMA_2_13B": "Llama 2", "lmsys/vicuna-7b-v1.5": "Llama 2",
    "lmsys/vicuna-7b-v1.3": "Llama", "meta-llama/Meta-Llama-3-8B-Instruct": "Llama 3",
    "meta-llama/Llama-3.2-1B": "Llama 3", "Sao10K/L3-8B-Lunaris-v1": "Llama 3", "mattshumer/Llama3_1-70B": "Llama 3",
    "meta-llama/Llama-4-Scout-17B-16E": "Llama 4", "mistralai/Mistral-7B-v0.1": "Mistral",
    "HuggingFaceH4/zephyr-7b-beta": "Mistral", "teknium/OpenHermes-2.5-Mistral-7B": "Mistral",
    "mistralai/Mixtral-8x7B-v0.1": "Mixtral", "mistralai/Mistral-Nemo-Base-2407": "Mistral Nemo",
    "mistralai/Ministral-8B-Instruct-2410": "Ministral", "Qwen/Qwen-7B": "Qwen", "Qwen/Qwen1.5-0.5B": "Qwen 1.5",
    "Qwen/Qwen2-72B-Instruct": "Qwen 2", "Qwen/Qwen2.5-7B-Instruct-1M": "Qwen 2.5", "Qwen/Qwen3-4B-Base": "Qwen 3",
    "Qwen/Qwen3-30B-A3B": "Qwen 3", "google/gemma-2b": "Gemma", "google/gemma-7b-it": "Gemma",
    "google/gemma-2-2b": "Gemma 2", "google/gemma-2-27b-it": "Gemma 2", "google/gemma-3-270m": "Gemma 3",
    "gemma-3-270m-it-Q4_K_M": "Gemma 3", "google/recurrentgemma-2b": "RecurrentGemma",
    "microsoft/phi-1_5": "Phi", "microsoft/phi-2": "Phi", "microsoft/Phi-3-mini-4k-instruct": "Phi-3",
    "microsoft/Phi-3.5-mini-instruct": "Phi-3", "microsoft/phi-4": "Phi-4",
    "deepseek-ai/deepseek-llm-7b-base": "DeepSeek", "upstage/SOLAR-10.7B-v1.0": "SOLAR", "01-ai/Yi-34B-200K": "Yi",
    "01-ai/Yi-1.5-9B": "Yi 1.5", "stabilityai/stablelm-2-1_6b": "StableLM", "allenai/OLMo-1B-hf": "OLMo",
    "allenai/OLMo-2-1124-7B": "OLMo 2", "tiiuae/falcon-7b": "Falcon", "tiiuae/falcon-mamba-7b": "Falcon Mamba",
    "tiiuae/Falcon3-7B-Base": "Falcon 3", "mosaicml/mpt-7b": "MPT", "EleutherAI/gpt-neox-20b": "GPT-NeoX",
    "EleutherAI/gpt-neo-125m": "GPT-Neo", "EleutherAI/gpt-j-6b": "GPT-J", "openai-community/gpt2-xl": "GPT-2",
    "distilbert/distilgpt2": "GPT-2", "cerebras/Cerebras-GPT-111M": "Cerebras-GPT", "facebook/opt-125m": "OPT",
    "bigscience/bloom-560m": "BLOOM", "togethercomputer/RedPajama-INCITE-Base-3B-v1": "RedPajama",
    "RWKV/rwkv-4-169m-pile": "RWKV", "state-spaces/mamba-130m-hf": "Mamba",
    "ibm-granite/granite-34b-code-base": "Granite",
    "internlm/internlm2-1_8b": "InternLM", "bigcode/starcoder2-3b": "StarCoder",
    "someone/philosophy-7b": "other (unknown type)", "org/merge-of-everything": "other (unknown type)",
}  # fmt: skip
SIZES = {
    "meta-llama/Llama-2-7b-hf": 7e9, "facebook/opt-125m": 125e6, "EleutherAI/pythia-1.4b-deduped": 1.4e9,
    "openlm-research/open_llama_3b_v2": 3e9, "stabilityai/stablelm-2-1_6b": 1.6e9, "Qwen/Qwen2.5-7B-Instruct-1M": 7e9,
    "BAAI/Infinity-Instruct-3M-0625-Llama3-8B": 8e9, "PY007/TinyLlama-1.1B-intermediate-step-240k-503b": 1.1e9,
    "NousResearch/LLaMA_2_13B": 13e9, "mistralai/Mixtral-8x7B-v0.1": None, "openai-community/gpt2-xl": None,
    "TheBloke/x-4bit-128g": None, "Qwen/Qwen1.5-MoE-A2.7B": None,
}  # fmt: skip


def told(name: str, conventions: Conventions | None = None, **row: Any) -> dict[str, Any]:
    known = {"model": name, "parameters": None, "model_type": None, "tokenizer": None} | row
    return (conventions or read_conventions()).describe(known)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_family_that_a_person_would_say(name: str) -> None:
    assert told(name)["family"] == FAMILIES[name]


@pytest.mark.parametrize("name", SIZES)
def test_the_size_that_a_name_tells(name: str) -> None:
    assert told(name)["parameters"] == SIZES[name]
    assert told(name)["parameters_from"] == ("name" if SIZES[name] else "")


def test_what_was_counted_goes_before_the_name() -> None:
    known = told("org/x-7b", parameters=6_738_415_616)
    assert (known["parameters"], known["parameters_from"]) == (6_738_415_616, "counted")
    assert told("Qwen/Qwen3-30B-A3B")["active_parameters"] == 3_000_000_000


def test_names_without_a_rule_are_one_family_a_type() -> None:
    assert told("a/b", model_type="llama")["family"] == told("c/d", model_type="llama")["family"] == "other (llama)"


def test_the_tokenizer_is_the_runs_or_the_familys() -> None:
    assert told("google/gemma-2b", tokenizer="abc")["tokenizer"] == "abc"
    assert told("google/gemma-2b")["tokenizer"] == "of Gemma"


@pytest.mark.parametrize(
    "name, kind",
    [("org/x-7b-Instruct", "fine-tune"), ("google/gemma-2b-it", "fine-tune"), ("google/gemma-2b", "")],
)
def test_the_kind(name: str, kind: str) -> None:
    assert told(name)["model_kind"] == kind


def overrides(folder: Path, text: str) -> Conventions:
    (folder / "o.yaml").write_text(text)
    return read_conventions(folder / "o.yaml")


EVERYTHING = """
models:
  tiny-llama:
    family: Ours
    tokenizer: bytes
    licence: mit
    kind: base
    note: ours
    parameters: 999
    active_parameters: 99
    training_compute: 8.4e+22
tasks:
  capitals: {chance: 0.25, metric: acc}
  42: {chance: 0}
families:
  - {family: Mine, match: '^tiny-'}
"""


def test_every_key_of_the_users_file_goes_first(tmp_path: Path) -> None:
    conventions = overrides(tmp_path, EVERYTHING)
    write(tmp_path / "runs", "a", new_run())
    row = one(read_records([str(tmp_path / "runs")], conventions).table, task="rivers")
    assert (row["family"], row["tokenizer"], row["licence"], row["model_kind"]) == ("Ours", "bytes", "mit", "base")
    assert (row["parameters"], row["active_parameters"], row["training_compute"]) == (999, 99, 8.4e22)
    assert row["note"] == "ours"
    assert conventions.chance("capitals", "", 3) == 0.25 and conventions.chance("42", "", None) == 0
    assert conventions.headline("capitals", ["acc_norm", "acc"]) == "acc"
    assert told("tiny-other", conventions)["family"] == "Mine" and told("gpt2", conventions)["family"] == "GPT-2"


def test_without_it_the_shipped_rules_hold(tmp_path: Path) -> None:
    write(tmp_path, "a", new_run())
    row = one(read(tmp_path).table, task="rivers")
    assert (row["parameters"], row["active_parameters"], row["licence"]) == (13424, 13424, "")
    conventions = read_conventions()
    assert conventions.headline("capitals", ["acc_norm", "acc"]) == "acc_norm"
    assert conventions.headline("capitals", ["bits_per_byte"]) is None
    assert conventions.chance("capitals", "", 3) == 1 / 3 and conventions.chance("unheard_of", "", None) is None
    assert conventions.chance("dispersion_arc_easy", "", None) == conventions.chance("x", "arc_easy", None) == 0.25


@pytest.mark.parametrize("text", ["", "# nothing\n", "models:\ntasks:\nfamilies:\n", "{}"])
def test_an_empty_file_says_nothing(tmp_path: Path, text: str) -> None:
    assert told("gpt2", overrides(tmp_path, text)) == told("gpt2")


@pytest.mark.parametrize(
    "text, says",
    [
        ("a: [", "is not YAML: while parsing"),
        ("- a", "the file is not a mapping of families, models, tasks"),
        ("x", "the file is not a mapping"),
        ("false", "the file is not a mapping"),
        ("model: {}", "the file has unknown model; known are families, models, tasks"),
        ("models: [a]", "models is not a mapping of names"),
        ("models: {a: 3}", "models, a is not a mapping of"),
        ("models: {a: abc}", "models, a is not a mapping of"),
        ("models: {a: {famly: X}}", "models, a has unknown famly; known are active_parameters, family"),
        ("models: {a: {parameters: 7B}}", "models, a: parameters is '7B' and not a number above 0"),
        ("models: {a: {parameters: -1}}", "models, a: parameters is -1 and not a number above 0"),
        ("models: {a: {training_compute: .inf}}", "training_compute is inf and not a number above 0"),
        ("models: {a: {active_parameters: true}}", "active_parameters is True and not a number above 0"),
        ("tasks: {a: {chance: 1}}", "tasks, a: chance is 1 and not a number from 0 to below 1"),
        ("tasks: {a: {chance: low}}", "tasks, a: chance is 'low' and not a number"),
        ("tasks: {a: {metrics: acc}}", "tasks, a has unknown metrics; known are chance, metric"),
        ("tasks: 3", "tasks is not a mapping of names"),
        ("families: {a: b}", "families is not a list"),
        ("families: [a]", "families is not a mapping of family, match"),
        ("families: [{family: A}]", "families: {'family': 'A'} has no family or no match"),
        ("families: [{family: A, match: 3}]", "has no family or no match"),
        ("families: [{family: A, match: '('}]", "families, A: '(' is no pattern: "),
        ("a: &x [*x", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SystemExit) as stop:
        overrides(tmp_path, text)
    said = str(stop.value)
    assert said.startswith(f"leaderboard: {tmp_path / 'o.yaml'}") and says in said and "\n" not in said


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"])
def test_no_file_and_no_text_are_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "o.yaml"
    if content:
        file.write_bytes(content)
    with pytest.raises(SystemExit, match=r"^leaderboard: (cannot read )?.*o.yaml(: No such file| is not YAML)"):
        read_conventions(file)
    with pytest.raises(SystemExit, match=r"^leaderboard: cannot read .*: Is a directory$"):
        read_conventions(tmp_path)
