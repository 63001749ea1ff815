"""Results files of models that do not exist, in lm_eval's layout, for the leaderboard's benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

CORPORA = ("wiki", "news", "code")
BENCHMARKS = (
    "arc_easy",
    "arc_challenge",
    "hellaswag",
    "winogrande",
    "piqa",
    "boolq",
    "openbookqa",
    "lambada_openai",
    "gsm8k",
)
FAMILIES = 60
_QUESTIONS = 1_000
_PERCENTILES = np.linspace(0, 1, 101)
_HOSTILE = ('"><script>alert(1)</script>', "../../etc/passwd", "\u202eevil", "m" * 300, "模型-é-🤖")


def write(folder: Path, models: int, seed: int = 0) -> None:
    """One file a model with 12 tasks: three corpora and nine benchmarks with signals, each with D of every layer."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0, 0.5, FAMILIES)
    for i in range(models):
        family = int(rng.integers(FAMILIES))
        size = float(10 ** rng.uniform(8, 11))
        skill = 0.6 * (np.log10(size) - 9.5) + offset[family] + rng.normal(0, 0.3)
        name = _HOSTILE[i] if i < len(_HOSTILE) else f"org{i % 97}/f{family:02d}-{size / 1e9:.1f}b-{i}"
        run = with_signals(one(name, family, size, skill, rng, date=1.7e9 + i), np.random.default_rng((seed, i)))
        place = folder / f"{i // 1000:02d}" / f"model-{i:05d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(run, indent=2), encoding="utf-8")


def families() -> str:
    """Overrides that tell the families apart."""
    rules = "\n".join(f"  - {{family: Family {i:02d}, match: '/f{i:02d}-'}}" for i in range(FAMILIES))
    return f"families:\n{rules}\n"


def one(name: str, family: int, size: float, skill: float, rng: np.random.Generator, date: float) -> dict[str, Any]:
    """A run of one model on the twelve tasks."""
    layers = 12 + 4 * (family % 6)
    results: dict[str, Any] = {}
    configs: dict[str, Any] = {}
    for k, corpus in enumerate(CORPORA):
        task = f"dispersion_{corpus}"
        profile = _profile(layers, 0.5 + 0.05 * skill + 0.02 * k, rng)
        bits = 1.2 - 0.1 * skill + 0.1 * k + rng.normal(0, 0.02)
        results[task] = {
            "alias": task,
            "bits_per_byte,none": bits,
            "bits_per_byte_stderr,none": "N/A",
            "byte_perplexity,none": 2**bits,
            "byte_perplexity_stderr,none": "N/A",
            "word_perplexity,none": 2 ** (5 * bits),
            "word_perplexity_stderr,none": "N/A",
            **_d(profile, rng),
        }
        configs[task] = _config(task, None, "corpus", profile, family, size, layers)
    for k, base in enumerate(BENCHMARKS):
        task = f"dispersion_{base}"
        chance = (0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 0.25, 0.0, 0.0)[k]
        accuracy = chance + (1 - chance) / (1 + np.exp(-(skill - 0.3 * k + 0.5 + rng.normal(0, 0.2))))
        accuracy = round(float(accuracy) * _QUESTIONS) / _QUESTIONS
        profile = _profile(layers, 0.4 + 0.04 * skill + 0.02 * k, rng)
        stderr = float(np.sqrt(accuracy * (1 - accuracy) / (_QUESTIONS - 1)))
        results[task] = {"alias": task, "acc,none": accuracy, "acc_stderr,none": stderr, **_d(profile, rng)}
        configs[task] = _config(task, base, "prompts", profile, family, size, layers)
    sizes = {task: {"original": _QUESTIONS, "effective": _QUESTIONS} for task in results}
    return {
        "results": results,
        "group_subtasks": {},
        "configs": configs,
        "versions": dict.fromkeys(results, 1.0),
        "n-shot": dict.fromkeys(results, 0),
        "higher_is_better": {},
        "n-samples": sizes,
        "config": {
            "model": "hf",
            "model_args": {"pretrained": name, "dtype": "bfloat16"},
            "model_num_parameters": int(size),
            "model_dtype": "torch.bfloat16",
            "model_revision": "main",
            "model_sha": f"{crc32(name.encode()):08x}",
            "batch_size": "auto",
            "device": "cuda:0",
            "limit": None,
        },
        "date": date,
        "pretty_env_info": "PyTorch version: 2.13.0\n" * 40,
        "transformers_version": "5.19.0",
        "lm_eval_version": "0.4.13",
        "task_hashes": dict.fromkeys(results, "0" * 64),
        "model_source": "hf",
        "model_name": name,
    }


def with_signals(run: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The run with the signals that a benchmark's record holds by default; confidence runs ahead of accuracy."""
    for task, config in run["configs"].items():
        if config["metadata"]["dispersion"]["base_task"]:
            accuracy = run["results"][task]["acc,none"]
            config["metadata"]["dispersion"]["signals"] = _signals(accuracy + rng.normal(0.05, 0.03), rng)
    return run


def _signals(level: float, rng: np.random.Generator) -> dict[str, Any]:
    level = float(np.clip(level, 0.05, 0.95))
    drawn = {name: rng.beta(8 * level, 8 * (1 - level), _QUESTIONS) for name in ("confidence", "confidence_by_length")}
    found = {
        name: _signal(values, quantiles=np.quantile(values, _PERCENTILES).tolist()) for name, values in drawn.items()
    }
    found |= {name: _signal(rng.beta(2, 5, _QUESTIONS)) for name in ("margin", "entropy")}
    return found | {"prompt_loglikelihood": _signal(rng.normal(-3 + level, 0.5, _QUESTIONS))}


def _signal(values: np.ndarray[Any, Any], **more: Any) -> dict[str, Any]:
    stderr = float(values.std() / np.sqrt(len(values)))
    return {"layers": None, "mean": float(values.mean()), "stderr": stderr, "n": len(values), **more}


def _profile(layers: int, last: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    depth = np.linspace(0, 1, layers + 1)
    return np.clip(0.9 - 0.4 * depth + (last - 0.5) * depth + rng.normal(0, 0.01, layers + 1), 0.01, 0.99)


def _d(profile: np.ndarray[Any, Any], rng: np.random.Generator) -> dict[str, float]:
    across = float(rng.uniform(0.2, 0.6))
    return {
        "dispersion,none": float(profile[-1]),
        "dispersion_stderr,none": 0.005,
        "dispersion_across,none": across,
        "dispersion_across_stderr,none": 0.01,
        "dispersion_pearson,none": float(rng.uniform(-0.6, 0.2)),
        "dispersion_pearson_stderr,none": 0.05,
        "dispersion_spearman,none": float(rng.uniform(-0.6, 0.2)),
        "dispersion_spearman_stderr,none": 0.05,
    }


def _config(
    task: str, base: str | None, kind: str, profile: np.ndarray[Any, Any], family: int, size: float, layers: int
) -> dict[str, Any]:
    n = [100] * (layers + 1)
    mean, stderr = profile.tolist(), [0.005] * (layers + 1)
    pairs = {"dispersion": mean, "stderr": stderr, "n": n}
    record = {
        "definition": {
            "version": 1,
            "kind": kind,
            "headline": "within, last hidden state",
            "window_rule": None,
            "min_vectors": 2,
        },
        "plugin_version": "0.1.0",
        "task": task,
        "base_task": base,
        "corpus": {"name": base or task, "hash": f"{crc32(task.encode()):064x}", "selection": {}},
        "window": None,
        "engine": {
            "name": "hf",
            "lm_class": "HFLM",
            "dtype": "bfloat16",
            "processes": 1,
            "versions": {"torch": "2.13.0"},
        },
        "model": {
            "model_type": f"type{family % 7}",
            "layers": layers,
            "hidden_size": 1024,
            "vocab_size": 32000,
            "parameters": int(size),
            "quantisation": None,
            "peft": False,
            "tokenizer_hash": f"{family:064x}",
        },
        "counts": {
            "documents": 100,
            "segments": 100,
            "vectors": 50000,
            "zero_vectors": 0,
            "nonfinite_vectors": 0,
            "cached_answers": 0,
        },
        "layers": list(range(layers + 1)),
        "within": {"mean": mean, "stderr": stderr, "n": n},
        "across": pairs,
        "all_pairs": pairs,
        "correlation": None,
    }
    return {
        "task": task,
        "dataset_path": "some/dataset",
        "doc_to_text": "{{question}}" * 20,
        "output_type": "multiple_choice" if base else "loglikelihood_rolling",
        "num_fewshot": 0,
        "metadata": {"version": 1.0, "pretrained": "x", "dispersion": record},
    }
