"""What we use of a ``transformers.Trainer`` beyond its documented methods."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lm_eval_dispersion._errors import TaskError

MARK = "_push_away"
"""The attribute of a trainer that has one."""
_USED = ("compute_loss", "get_batch_samples", "log", "model", "args", "state", "accelerator")


def fit(trainer: Any) -> None:
    """Looks whether a trainer can be attached to.

    Raises:
        TaskError: says what is in the way.
    """
    missing = [name for name in _USED if not hasattr(trainer, name)]
    if missing:
        raise TaskError(f"attach takes a transformers.Trainer; {type(trainer).__name__} has no {missing[0]}")
    if MARK in vars(trainer):
        raise TaskError("this trainer has a PushAway; detach() that one first")
    if trainer.args.n_gpu > 1:
        raise TaskError(
            "PushAway does not work in nn.DataParallel: launch one process a GPU (torchrun, accelerate launch)"
        )
    for name in ("tp", "cp", "sp"):
        size = getattr(trainer, f"get_{name}_size", lambda: 1)()
        if size > 1:
            raise TaskError(f"PushAway needs whole sequences on each process, and no two alike; {name}_size is {size}")


def divides(trainer: Any, num_items_in_batch: Any) -> bool:
    """Whether ``training_step`` divides what ``compute_loss`` gives by the number of accumulation steps.

    Its own condition (transformers 5; ``loss_is_scaled_for_ga`` since 5.19).
    """
    scaled = getattr(trainer, "loss_is_scaled_for_ga", None)
    if scaled is None:
        scaled = (
            trainer.model_accepts_loss_kwargs and num_items_in_batch is not None
        ) or trainer.compute_loss_func is not None
    return not scaled


def gathered(trainer: Any, x: Tensor) -> Tensor:
    """[processes * n] of [n]: what all processes have."""
    found: Tensor = trainer.accelerator.gather(x)
    return found


def columns_with(trainer: Any, column: str) -> list[str]:
    """The columns of the dataset that a trainer is not to remove, which are those its model takes, and one more."""
    trainer._set_signature_columns_if_needed()
    return [*trainer._signature_columns, column]
