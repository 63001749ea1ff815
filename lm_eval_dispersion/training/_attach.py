"""The push-away on a trainer that there is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.training._averages import Averages
from lm_eval_dispersion.training._batch import Collator, counted, counts, owners
from lm_eval_dispersion.training._decoder import Listener, decoder_of
from lm_eval_dispersion.training._patches import Patches
from lm_eval_dispersion.training._push_away import push_away
from lm_eval_dispersion.training._step import Step
from lm_eval_dispersion.training._trainer import MARK, columns_with, divides, fit, gathered
from lm_eval_dispersion.training._unit_sums import sums_by_domain

Objective = Callable[[Tensor, "Tensor | None", "Tensor | None"], Tensor]
"""``push_away`` and what has its arguments."""


class PushAway:
    """Adds ``lam`` times an objective of the hidden states to the loss of a transformers ``Trainer``, and logs it.

    One line before ``train()``::

        PushAway(lam=0.1).attach(trainer)

    TRL's ``SFTTrainer`` is one, too. The hidden states are the decoder's output, at the positions whose next token the
    loss scores. Each log of the trainer's own then holds, averaged over the optimizer steps since the last,
    ``dispersion`` (D of all vectors of a step), ``push_away`` (the objective) and ``lam``. With ``lam=0`` it only logs:
    training is bit-identical.
    """

    def __init__(
        self,
        lam: float = 0.1,
        *,
        objective: Objective = push_away,
        domains: str | None = None,
        decay_steps: int | None = None,
    ) -> None:
        """Checks the options.

        Args:
            lam: the weight. The paper takes .001 to .1, chosen for each learning rate.
            objective: ``push_away``, or one of the alternatives beside it. ``push_away`` is that of all vectors of an
                optimizer step taken together, over its micro-batches and processes; others are taken of each
                micro-batch on each process, and averaged by their vectors.
            domains: the column of the dataset that says which domain a row is of, in integers from 0, for the
                cross-domain objective.
            decay_steps: ``lam`` falls linearly, to 0 at this optimizer step. It is constant when left out.

        Raises:
            ValueError: for a ``lam`` that is negative or not finite, or ``decay_steps`` below 1.
        """
        if not (math.isfinite(lam) and lam >= 0):
            raise ValueError(f"lam must be a finite number of at least 0 (0 only logs), got {lam}")
        if decay_steps is not None and decay_steps < 1:
            raise ValueError(f"decay_steps must be at least 1, got {decay_steps}")
        self._lam, self._objective, self._domains, self._decay_steps = lam, objective, domains, decay_steps
        self._trainer: Any = None

    def lam(self, step: int) -> float:
        """The weight at an optimizer step; the first is 0."""
        if self._decay_steps is None:
            return self._lam
        return self._lam * max(0.0, 1 - step / self._decay_steps)

    def attach(self, trainer: Any) -> PushAway:
        """Attaches to a trainer, until ``detach``.

        Args:
            trainer: a ``transformers.Trainer`` or one derived from it. Its class stays as it is.

        Returns:
            Itself.

        Raises:
            TaskError: where it is attached already, or the trainer or its model does not allow it.
        """
        if self._trainer is not None:
            raise TaskError("this PushAway is attached; detach() it, or make another")
        fit(trainer)
        self._listener = Listener(decoder_of(trainer.model))
        self._averages = Averages()
        self._step: Step | None = None
        self._trainer, self._patches = trainer, Patches(trainer)
        self._patches.replace(MARK, self)
        for name in ("compute_loss", "get_batch_samples", "log"):
            self._patches.wrap(name, getattr(self, f"_{name}"))
        if self._domains is not None:
            self._patches.replace("data_collator", Collator(trainer.data_collator, self._domains))
            self._patches.replace("_signature_columns", columns_with(trainer, self._domains))
        return self

    def detach(self) -> None:
        """Leaves the trainer as it was. Does nothing where it is not attached."""
        if self._trainer is not None:
            self._patches.undo()
            self._listener.remove()
            self._trainer = None

    def _reduce(self, x: Tensor) -> Tensor:
        return self._trainer.accelerator.reduce(x, reduction="sum") if self._processes > 1 else x

    @property
    def _processes(self) -> int:
        return int(self._trainer.accelerator.num_processes)

    def _step_of(self, batches: list[Any]) -> Step:
        """A step of these micro-batches, of which some may be on other processes."""
        device = self._trainer.accelerator.device
        owner = (owners(counted(batch), batch, self._domains) for batch in batches)
        mine = [counts(whose, self._domains).to(device) for whose in owner]
        if self._domains is not None:
            most = torch.tensor([max(map(len, mine))], device=device)
            length = int(gathered(self._trainer, most).max())
            mine = [torch.nn.functional.pad(n, (0, length - len(n))) for n in mine]
        totals = self._reduce(torch.stack(mine).sum(0))
        return Step(totals, self._domains is not None, self._reduce, self._processes)

    def _close(self) -> None:
        if self._step is not None:
            lam = self.lam(self._at)
            self._averages.add(self._step.found(), lam, self._step.nonfinite)
            self._step = None

    def _get_batch_samples(self, stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        found = stock(*args, **kwargs)
        self._close()
        if self._trainer.state.global_step == 0:  # a training begins: what the last one has not logged is gone
            self._averages = Averages()
        if found[0]:
            self._step, self._at = self._step_of(found[0]), self._trainer.state.global_step
        return found

    def _log(self, stock: Callable[..., Any], logs: dict[str, float], *args: Any, **kwargs: Any) -> Any:
        if "loss" in logs:
            self._close()
            logs.update(self._averages.take())
        return stock(logs, *args, **kwargs)

    def _compute_loss(
        self, stock: Callable[..., Any], model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        batch = inputs
        if self._domains in inputs:
            inputs = {k: v for k, v in inputs.items() if k != self._domains}
        if not model.training:
            return stock(model, inputs, *args, **kwargs)
        owner = owners(counted(batch), batch, self._domains)
        if self._step is None:
            self._step, self._at = self._step_of([batch]), self._trainer.state.global_step
        lam = self.lam(self._at)
        with self._listener:
            found = stock(model, inputs, *args, **kwargs)
        term = self._term(self._listener.take(), owner, self._step, pushing=lam > 0)
        if lam == 0:
            return found
        # The trainer divides a loss that is a mean of its micro-batch; ours is a part of the step's.
        if divides(self._trainer, kwargs.get("num_items_in_batch", args[1] if len(args) > 1 else None)):
            term = term * self._trainer.current_gradient_accumulation_steps
        if isinstance(found, tuple):
            return found[0] + lam * term.to(found[0]), *found[1:]
        return found + lam * term.to(found)

    def _term(self, hidden: Tensor, owner: Tensor, step: Step, pushing: bool) -> Tensor:
        if hidden.shape[:-1] != owner.shape:
            raise TaskError(
                f"the model's hidden states are {list(hidden.shape)}, the batch is {list(owner.shape)}: "
                "PushAway needs one vector a token"
            )
        owner = owner.to(hidden.device)
        with torch.set_grad_enabled(pushing):
            hidden = hidden if pushing else hidden.detach()
            sums, count, nonfinite = sums_by_domain(hidden, owner, step.domains)
            loss = None
            if self._objective is not push_away:
                loss = self._objective(hidden, owner >= 0, None if self._domains is None else owner)
            # A model split over devices gives its last states on one of them.
            at = self._trainer.accelerator.device
            return step.add(sums.to(at), count.to(at), nonfinite.to(at), None if loss is None else loss.to(at))
