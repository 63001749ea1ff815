"""Trainings of one step over eight rows, on as many processes as there are.

Arguments: a file, for the logs and the gradients of each, which the first process writes; and the trainings, each the
options of ``PushAway`` and what to change in ``trainers.trainer``, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trainers import gradients, logged, rows, trainer

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


if __name__ == "__main__":
    torch.set_num_threads(1)
    file, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    found = [train(file.parent, *case) for case in cases]
    if os.environ["RANK"] == "0":
        torch.save(found, file)
