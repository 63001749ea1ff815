"""PushAway on TRL's SFTTrainer, whose fused head builds no logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from models import train_tokenizer
from trainers import Gradients, arguments, gradients, logged, model

from lm_eval_dispersion.training import PushAway, push_away

trl = pytest.importorskip("trl", reason="TRL needs Python 3.11")

TEXTS = [
    "The company said on Monday that it would close.",
    "def main(argv):\n    return 0",
    "Shares fell after the report, and rose again in the afternoon.",
    "for name in names:\n    print(name)",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def sft(folder: Path, tokenizer: Any, data: list[dict[str, Any]], **changed: Any) -> Any:
    options = arguments(folder, bf16=False, **({"per_device_train_batch_size": 4} | changed))
    return trl.SFTTrainer(
        model=model(torch.float32, vocab_size=len(tokenizer)),
        args=trl.SFTConfig(**options, max_length=None, dataset_num_proc=None),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        callbacks=[Gradients()],
    )


def trained(of: Any, **push: Any) -> tuple[dict[str, float], torch.Tensor]:
    PushAway(**push).attach(of)
    of.train()
    return logged(of)[0], gradients(of)[0]


def expected(tokenizer: Any, prompts: list[str] | None = None, domains: list[int] | None = None) -> float:
    """Of all positions before a scored one: those of the end token, too."""
    kept, ids = [], []
    for i, text in enumerate(TEXTS):
        tokens = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        of = model(torch.float32, vocab_size=len(tokenizer))
        states = of(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][0, :-1]
        kept.append(states[len(tokenizer(prompts[i])["input_ids"]) - 1 :] if prompts else states)
        ids += [domains[i] if domains else 0] * len(kept[-1])
    return push_away(torch.cat(kept), None, torch.tensor(ids) if domains else None).item()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"padding_free": True},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        {"gradient_checkpointing": True},
        {"loss_type": "dft"},
        pytest.param({"label_smoothing_factor": 0.1}, marks=pytest.mark.filterwarnings("ignore")),
    ],
    ids=["plain", "padding-free", "accumulated", "checkpointing", "dft", "label smoothing"],
)
def test_the_loss_and_its_logs(tmp_path: Path, tokenizer: Any, changed: dict[str, Any]) -> None:
    data = [{"text": text} for text in TEXTS]
    changed = {"gradient_checkpointing": False} | changed
    plain, gradient = trained(sft(tmp_path, tokenizer, data, **changed), lam=0)
    log, pushed = trained(sft(tmp_path, tokenizer, data, **changed), lam=0.5)
    of = sft(tmp_path, tokenizer, data, **changed)
    of.train()
    assert torch.equal(gradients(of)[0], gradient) and logged(of)[0]["loss"] == plain["loss"]
    if not changed.get("padding_free"):  # where eager attention sees the rows before
        assert log["push_away"] == pytest.approx(expected(tokenizer), abs=1e-5)
    assert plain["push_away"] == pytest.approx(log["push_away"], abs=1e-6)
    assert log["loss"] == pytest.approx(plain["loss"] + 0.5 * log["push_away"], abs=1e-5)
    assert log["mean_token_accuracy"] == plain["mean_token_accuracy"]
    assert (pushed - gradient).abs().max() > 1e-4


def test_a_prompt_is_not_pushed_where_it_is_not_scored(tmp_path: Path, tokenizer: Any) -> None:
    prompts = [text.split(" ")[0] for text in TEXTS]
    data = [{"prompt": p, "completion": text[len(p) :]} for p, text in zip(prompts, TEXTS, strict=True)]
    log, _ = trained(sft(tmp_path, tokenizer, data, gradient_checkpointing=False), lam=0.1)
    assert log["push_away"] == pytest.approx(expected(tokenizer, prompts), abs=1e-5)


def test_a_column_of_domains_reaches_it(tmp_path: Path, tokenizer: Any) -> None:
    data = [{"text": text, "kind": i % 2} for i, text in enumerate(TEXTS)]
    log, _ = trained(sft(tmp_path, tokenizer, data, gradient_checkpointing=False), lam=0.1, domains="kind")
    assert log["push_away"] == pytest.approx(expected(tokenizer, domains=[0, 1, 0, 1]), abs=1e-5)
    assert log["dispersion"] == pytest.approx(-expected(tokenizer), abs=1e-5)
