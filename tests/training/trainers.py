"""Tiny trainings on the CPU: a Llama in float64, and rows of random tokens of different lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

VOCABULARY = 64


def model(dtype: torch.dtype = torch.float64, seed: int = 0, **config: Any) -> LlamaForCausalLM:
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**shape | config)).to(dtype)


def rows(count: int = 8, longest: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """Tokens of ``count`` rows, and a domain for each."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, longest + 1, (count,), generator=generator).tolist()
    tokens = (torch.randint(1, VOCABULARY, (n,), generator=generator).tolist() for n in lengths)
    return [{"input_ids": ids, "domain": i % 2} for i, ids in enumerate(tokens)]


def collate(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Pads to the right."""
    longest = max(len(e["input_ids"]) for e in examples)

    def padded(ids: list[int], by: int) -> list[int]:
        return ids + [by] * (longest - len(ids))

    return {
        "input_ids": torch.tensor([padded(e["input_ids"], 0) for e in examples]),
        "attention_mask": torch.tensor([padded([1] * len(e["input_ids"]), 0) for e in examples]),
        "labels": torch.tensor([padded(e.get("labels", e["input_ids"]), -100) for e in examples]),
    }


class Gradients(TrainerCallback):
    """The gradients of every optimizer step, in one vector."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        wanted = [p for p in kwargs["model"].parameters() if p.grad is not None]
        self.steps.append(torch.cat([p.grad.detach().flatten() for p in wanted]).clone())


def arguments(folder: Path, **changed: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1,
        "max_steps": 1,
        "disable_tqdm": True,
        "optim": "sgd",
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "per_device_train_batch_size": 8,
        "train_sampling_strategy": "sequential",
    } | changed


def trainer(folder: Path, data: list[dict[str, Any]] | None = None, of: Any = None, **changed: Any) -> Trainer:
    """Of all ``data`` in one step, unless ``changed`` says otherwise."""
    return Trainer(
        model=model() if of is None else of,
        args=TrainingArguments(**arguments(folder, **changed)),
        train_dataset=rows() if data is None else data,
        data_collator=collate,
        callbacks=[Gradients()],
    )


def gradients(of: Trainer) -> list[Tensor]:
    (callback,) = (c for c in of.callback_handler.callbacks if isinstance(c, Gradients))
    return callback.steps


def logged(of: Trainer) -> list[dict[str, float]]:
    return [entry for entry in of.state.log_history if "loss" in entry]
