"""One training, and what it measures on the way."""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sizes import ARMS, Plan, Run
from texts import Windows, load
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lm_eval_dispersion import training
from lm_eval_dispersion.training import PushAway, push_away

_BATCH = 32


def work(job: tuple[Run, Plan, Path]) -> None:
    """Trains one and writes OUT/runs/NAME.json, which is whole where it is there."""
    run, plan, out = job
    found = train(run, plan, _windows(out), out)
    file = out / "runs" / f"{run.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    (beside := file.with_suffix(".part")).write_text(json.dumps(found), encoding="utf-8")
    beside.replace(file)


_windows = cache(load)


def train(run: Run, plan: Plan, windows: Windows, out: Path) -> dict[str, Any]:
    """What was measured at the plan's points, the trainer's own log, and how many seconds it took."""
    cross, cuda = run.cell.setting == "cross", torch.cuda.is_available()
    torch.manual_seed(run.seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=plan.vocabulary,
            n_positions=plan.context,
            n_embd=plan.width,
            n_layer=plan.layers,
            n_head=plan.heads,
            # Without dropout, runs of one seed differ by the arm alone.
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    watch = Watch(plan, windows.held_out(run.cell.setting, run.judged))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(out / "trainer"),
            max_steps=plan.steps,
            per_device_train_batch_size=plan.batch,
            train_sampling_strategy="sequential",
            learning_rate=run.cell.rate,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr_rate": 0.1},
            warmup_steps=plan.steps // 20,
            weight_decay=plan.decay,
            adam_beta2=0.95,
            seed=run.seed,
            bf16=cuda,
            use_cpu=not cuda,
            logging_steps=plan.steps // 16,
            disable_tqdm=True,
            save_strategy="no",
            report_to=[],
        ),
        train_dataset=windows.rows(run.cell.setting, plan.steps * plan.batch, run.seed),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    PushAway(
        run.lam,
        # Plain training is watched by a weight of 0, which changes nothing in it.
        objective=getattr(training, ARMS[run.arm] or "push_away"),
        domains="domain" if cross else None,
        decay_steps=plan.steps // 2 if run.arm == "push_away_decayed" else None,
    ).attach(trainer)
    begun = time.monotonic()
    trainer.train()
    return {
        "nats": {text: [at["nats"][text] for at in watch.found] for text in watch.found[0]["nats"]},
        "dispersion": [at["dispersion"] for at in watch.found],
        "log": [entry for entry in trainer.state.log_history if "lam" in entry],
        "seconds": time.monotonic() - begun,
    }


class Watch(TrainerCallback):
    """Measures held-out text at the plan's points."""

    def __init__(self, plan: Plan, held_out: dict[str, np.ndarray]) -> None:
        self._points = frozenset(plan.points)
        self._held_out = {text: torch.from_numpy(ids) for text, ids in held_out.items()}
        self.found: list[dict[str, Any]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The trainer's call after each optimizer step."""
        if state.global_step in self._points:
            model.eval()
            self.found.append(measure(model, self._held_out))
            model.train()


@torch.inference_mode()
def measure(model: Any, held_out: dict[str, Tensor]) -> dict[str, Any]:
    """Mean nats a token of each text, and D of the decoder's output over all of them together."""
    nats, states = {}, []
    for text, ids in held_out.items():
        losses = []
        for some in ids.to(model.device).split(_BATCH):
            hidden = model.get_decoder()(input_ids=some).last_hidden_state
            logits = model.lm_head(hidden[:, :-1])
            losses.append(torch.nn.functional.cross_entropy(logits.transpose(1, 2), some[:, 1:], reduction="none"))
            # As in training: the positions whose next token is predicted.
            states.append(hidden[:, :-1])
        nats[text] = float(torch.cat(losses).mean())
    return {"nats": nats, "dispersion": -float(push_away(torch.cat(states)))}
