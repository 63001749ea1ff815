"""The loss that a Trainer minimises with the push-away, against autograd of its definition, however the step is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import definitions
import pytest
import torch
from torch import Tensor
from trainers import collate, gradients, logged, model, rows, trainer

from lm_eval_dispersion.training import PushAway, dispersive, push_away

LAM = 0.3
CUTS = [1, 2, 4, 8]
# The norms of a Llama are float32 in any case.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def mask_of(batch: dict[str, Tensor]) -> Tensor:
    """Positions whose next token the loss scores."""
    mask = torch.zeros_like(batch["labels"], dtype=torch.bool)
    mask[:, :-1] = batch["labels"][:, 1:] != -100
    return mask


def gradient_of(objective: Callable[..., Tensor], data: list[dict[str, Any]], domains: bool = False) -> Tensor:
    """The gradient of an objective of the rows as one batch; of transformers' ``output_hidden_states``."""
    of, batch = model(), collate(data)
    states = of(**batch, output_hidden_states=True).hidden_states[-1]
    ids = torch.tensor([row["domain"] for row in data]).unsqueeze(-1).expand(states.shape[:-1]).flatten()
    objective(states.flatten(0, 1), mask_of(batch).flatten(), ids if domains else None).backward()
    found = (torch.zeros_like(p) if p.grad is None else p.grad for p in of.parameters())
    return torch.cat([g.flatten() for g in found])


def trained(
    folder: Path,
    data: list[dict[str, Any]],
    cuts: int,
    lam: float = LAM,
    per_token: bool = True,
    push: dict[str, Any] | None = None,
    **changed: Any,
) -> tuple[dict[str, float], Tensor]:
    """The log and the gradients of one step, in ``cuts`` micro-batches."""
    size = {"per_device_train_batch_size": len(data) // cuts, "gradient_accumulation_steps": cuts}
    of = trainer(folder, data, **size, **changed)
    of.model_accepts_loss_kwargs = per_token
    PushAway(lam, **(push or {})).attach(of)
    of.train()
    (log,), (gradient,) = logged(of), gradients(of)
    return log, gradient


@pytest.mark.parametrize("per_token", [True, False], ids=["num_items_in_batch", "mean of means"])
@pytest.mark.parametrize("cuts", CUTS)
def test_the_sum_over_accumulation_steps_is_the_loss_of_one_large_batch(
    tmp_path: Path, cuts: int, per_token: bool
) -> None:
    data, options = rows(), {"per_token": per_token, "average_tokens_across_devices": per_token}
    batch = collate(data)
    states = model()(**batch, output_hidden_states=True).hidden_states[-1]
    expected = push_away(states, mask_of(batch)).item()
    plain, _ = trained(tmp_path, data, cuts, lam=0, **options)
    log, _ = trained(tmp_path, data, cuts, **options)
    assert log["push_away"] == pytest.approx(expected, rel=1e-12)
    assert log["dispersion"] == pytest.approx(-expected, rel=1e-12)
    # The trainer adds losses up in float32.
    assert log["loss"] == pytest.approx(plain["loss"] + LAM * expected, rel=1e-6)


@pytest.mark.parametrize("said", [True, False, "a loss of the user's"])
def test_a_trainer_that_says_how_its_loss_is_scaled_is_heard(tmp_path: Path, said: bool | str) -> None:
    losses = []
    for lam in (0.0, LAM):
        of = trainer(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4)
        if isinstance(said, bool):
            of.loss_is_scaled_for_ga = said
        else:
            of.compute_loss_func = lambda outputs, labels, num_items_in_batch: outputs.logits.mean()
        PushAway(lam).attach(of)
        of.train()
        losses.append(logged(of)[0]["loss"])
    assert losses[1] - losses[0] == pytest.approx(LAM * logged(of)[0]["push_away"], rel=1e-5)


@pytest.mark.parametrize(
    ("cuts", "per_token", "domains"),
    [*((cuts, True, domains) for cuts in CUTS for domains in (False, True)), (4, False, False)],
)
def test_the_gradient_is_that_of_one_large_batch_on_average_over_orders(
    tmp_path: Path, cuts: int, per_token: bool, domains: bool
) -> None:
    data = rows()
    # With four rows of one domain, then four of the other, micro-batches hold a single one.
    data = sorted(data, key=lambda row: row["domain"]) if domains else data
    expected = LAM * gradient_of(definitions.push_away, data, domains)
    found = []
    for order in (data, data[::-1]):
        push = {"domains": "domain"} if domains else {}
        _, plain = trained(tmp_path, order, cuts, lam=0, per_token=per_token)
        _, gradient = trained(tmp_path, order, cuts, per_token=per_token, push=push)
        found.append(gradient - plain)
    if cuts == 1:
        torch.testing.assert_close(found[0], expected, **CLOSE)
    torch.testing.assert_close(sum(found) / 2, expected, **CLOSE)


@pytest.mark.parametrize("cuts", [1, 4])
def test_another_objective_is_taken_of_each_micro_batch_and_weighted_by_its_vectors(tmp_path: Path, cuts: int) -> None:
    data, size = rows(), 8 // cuts
    parts = [data[start : start + size] for start in range(0, 8, size)]
    shares = torch.tensor([int(mask_of(collate(part)).sum()) for part in parts], dtype=torch.float64)
    shares = shares / shares.sum()
    expected = sum(s * gradient_of(definitions.dispersive, part) for s, part in zip(shares, parts, strict=True))
    _, plain = trained(tmp_path, data, cuts, lam=0)
    log, gradient = trained(tmp_path, data, cuts, push={"objective": dispersive})
    torch.testing.assert_close(gradient - plain, LAM * expected, **CLOSE)
    assert log["push_away"] < 0 < log["dispersion"]


def test_a_last_step_of_fewer_micro_batches_is_a_step_of_its_own(tmp_path: Path) -> None:
    of = trainer(
        tmp_path,
        rows(6),
        max_steps=-1,
        num_train_epochs=1,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=0.0,
    )
    PushAway(LAM).attach(of)
    of.train()
    last = trainer(tmp_path, rows(6)[4:], of=of.model, per_device_train_batch_size=2)
    PushAway(0).attach(last)
    last.train()
    assert len(logged(of)) == 2
    assert logged(of)[-1]["push_away"] == pytest.approx(logged(last)[0]["push_away"])


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(tmp_path: Path, reentrant: bool) -> None:
    data = rows()
    log, gradient = trained(tmp_path, data, 2)
    again, recomputed = trained(
        tmp_path,
        data,
        2,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": reentrant},
    )
    assert again == log
    torch.testing.assert_close(recomputed, gradient)
