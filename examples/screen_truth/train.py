"""Trains the models of the truth test: one small GPT-2 for each share of code in its training text, and each seed.

python examples/screen_truth/train.py OUT [--seeds 1 2] [--tied]

All have one tokenizer, one architecture and the same number of tokens; none sees a window twice. OUT/models/NAME is
what ``save_pretrained`` writes. A model that is finished is not trained again: after Ctrl-C the same command goes on
there. About two minutes a model on one free core.

The output projection is untied from the embeddings, decided before any model was trained: what the screen reads is then
an output projection and nothing else. GPT-2 and many small checkpoints tie both, so ``--tied`` trains such models, too.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from mixtures import mixture, read_texts, train_tokenizer, windows
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

SHARES = (0, 20, 40, 60, 80, 100)


@dataclass(frozen=True)
class Plan:
    """What all models of one folder have in common."""

    vocabulary: int = 4096
    width: int = 128
    layers: int = 3
    heads: int = 4
    context: int = 128
    windows: int = 4096
    """To train on: of 128 tokens, 524,288 in all."""
    batch: int = 8
    """Windows a step."""
    rate: float = 3e-3
    """Highest learning rate: linear over the first twentieth of the steps, then half a cosine to a tenth."""
    decay: float = 0.1
    """Weight decay of matrices, embeddings and the output projection among them, as in GPT-2's recipe."""


PLAN = Plan()


@dataclass(frozen=True)
class Model:
    """One to train."""

    share: int
    """Percent of its training windows that are code."""
    seed: int
    """Of its first weights, of which windows it sees, and of their order."""
    tied: bool = False

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{'tied-' if self.tied else ''}code-{self.share:03d}-seed-{self.seed}"


def main(out: Path, models: Sequence[Model], plan: Plan = PLAN) -> None:
    """Trains those of ``models`` that are not in ``out`` yet.

    Raises:
        SystemExit: where a model in ``out`` was trained by another plan.
    """
    todo = []
    for model in models:
        told = out / "models" / model.name / "training.json"
        if not told.is_file():
            todo.append(model)
        elif json.loads(told.read_text(encoding="utf-8"))["plan"] != asdict(plan):
            raise SystemExit(f"{told.parent} was trained by another plan; take another folder")
    if not todo:
        return
    texts = read_texts()
    tokenizer = train_tokenizer(texts, plan.vocabulary, out / "tokenizer")
    code, prose = (windows(tokenizer, part, plan.context) for part in (texts.code, texts.prose))
    print(f"to train on there are {len(code)} windows of code and {len(prose)} of prose", flush=True)
    for model in todo:
        seen = mixture(code, prose, plan.windows, model.share, model.seed)
        begun = time.monotonic()
        trained, losses = _train(model, plan, seen)
        beside = out / "unfinished" / model.name
        shutil.rmtree(beside, ignore_errors=True)
        trained.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        told = {"plan": asdict(plan), **asdict(model), "seconds": time.monotonic() - begun, "last_loss": losses}
        (beside / "training.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
        # A folder that is there under its own name is whole.
        (out / "models").mkdir(parents=True, exist_ok=True)
        beside.rename(out / "models" / model.name)


def _train(model: Model, plan: Plan, seen: NDArray[np.int64]) -> tuple[GPT2LMHeadModel, float]:
    """The model, and its mean loss over the last tenth of the steps (nats a token)."""
    torch.manual_seed(model.seed)
    config = GPT2Config(
        vocab_size=plan.vocabulary,
        n_positions=plan.context,
        n_embd=plan.width,
        n_layer=plan.layers,
        n_head=plan.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=model.tied,
        bos_token_id=0,
        eos_token_id=0,
    )
    network = GPT2LMHeadModel(config).train()
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}],
        lr=plan.rate,
        betas=(0.9, 0.95),
    )
    batches = torch.from_numpy(seen).split(plan.batch)
    warm = max(1, len(batches) // 20)
    losses = []
    for step, batch in enumerate(bar := tqdm(batches, desc=model.name, unit="step", mininterval=2)):
        cosine = 0.55 + 0.45 * math.cos(math.pi * step / len(batches))
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min((step + 1) / warm, cosine)
        loss = network(input_ids=batch, labels=batch, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 0:
            bar.set_postfix(loss=f"{losses[-1]:.2f}", refresh=False)
    return network.eval(), float(np.mean(losses[-max(1, len(losses) // 10) :]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tied", action="store_true", help="models that share embeddings and output projection")
    given = parser.parse_args()
    # Matrices this small are multiplied no faster by two threads.
    torch.set_num_threads(1)
    try:
        main(given.out, [Model(share, seed, given.tied) for seed in given.seeds for share in SHARES])
    except KeyboardInterrupt:
        raise SystemExit("train: stopped; finished models stay, and the same command goes on there") from None
