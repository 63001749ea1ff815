"""Trainings of one step over eight rows, on as many processes as there are.

Arguments: a file, for the logs and the gradients of each, which the first process writes; and the trainings, each the
options of ``PushAway`` and what to change in ``trainers.trainer``, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from trainers import collate, gradients, logged, model, rows, trainer

from lm_eval_dispersion import training


def train(folder: Path, push: dict[str, Any], changed: dict[str, Any]) -> tuple[dict[str, float], Tensor]:
    processes = int(os.environ.get("WORLD_SIZE", 1))
    size = {"per_device_train_batch_size": 8 // processes // changed.get("gradient_accumulation_steps", 1)}
    of = trainer(folder, rows(8), ddp_backend="gloo" if processes > 1 else None, **size | changed)
    objective = getattr(training, push.get("objective", "push_away"))
    training.PushAway(**push | {"objective": objective}).attach(of)
    of.train()
    (log,), (gradient,) = logged(of), gradients(of)
    return log, gradient


class ByHand:
    """What is used of a Trainer: accelerate shards no model on a CPU."""

    model_accepts_loss_kwargs, compute_loss_func = True, None
    args, state = SimpleNamespace(n_gpu=1), SimpleNamespace(global_step=0)

    def __init__(self) -> None:
        self.logs: dict[str, float] = {}
        self.model = model()
        processes = int(os.environ.get("WORLD_SIZE", 1))
        if processes > 1:
            mesh = init_device_mesh("cpu", (processes,))
            for part in (*self.model.model.layers, self.model):
                fully_shard(part, mesh=mesh)
        self.accelerator = SimpleNamespace(num_processes=processes, device=torch.device("cpu"), reduce=self.reduce)

    @staticmethod
    def reduce(x: Tensor, reduction: str) -> Tensor:
        torch.distributed.all_reduce(x := x.clone())
        return x

    def get_batch_samples(self, batches: list[Any]) -> tuple[list[Any], int]:
        return batches, 1

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: int) -> Tensor:
        return model(**inputs).loss * 0

    def log(self, logs: dict[str, float]) -> None:
        self.logs = logs


def shard() -> tuple[dict[str, float], Tensor]:
    """The objective alone, on a model that is sharded over the processes there are (FSDP2)."""
    of, rank = ByHand(), int(os.environ.get("RANK", 0))
    size = 8 // of.accelerator.num_processes
    training.PushAway(0.3).attach(of)
    (batch,), items = of.get_batch_samples([collate(rows(8)[rank * size : (rank + 1) * size])])
    of.compute_loss(of.model.train(), batch, num_items_in_batch=items).backward()
    of.log({"loss": 0.0})
    whole = (p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad for p in of.model.parameters())
    return of.logs, torch.cat([g.flatten() for g in whole])


if __name__ == "__main__":
    torch.set_num_threads(1)
    file, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    found = [train(file.parent, *case) for case in cases]
    found.append(shard())
    if os.environ["RANK"] == "0":
        torch.save(found, file)
