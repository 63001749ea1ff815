"""Which vectors of a trainer's batch count, and the column that says what domain a row is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.training._vectors import by_vector

_IGNORED = -100


def counted(batch: Mapping[str, Any]) -> Tensor:
    """[batch, n], bool: the positions whose next token the loss scores; without labels, all that are no padding.

    Raises:
        TaskError: for a batch without tokens.
    """
    labels, shifted = batch.get("labels"), batch.get("shift_labels")
    padding = batch.get("attention_mask")
    if shifted is not None:
        mask: Tensor = shifted != _IGNORED
    elif labels is not None:
        mask = torch.nn.functional.pad(labels[:, 1:] != _IGNORED, (0, 1))
    else:
        tokens = batch.get("input_ids")
        tokens = batch.get("inputs_embeds") if tokens is None else tokens
        if tokens is None:
            raise TaskError("the batch has neither labels nor input_ids, so PushAway cannot tell which vectors count")
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    return mask & padding.bool() if padding is not None and padding.shape == mask.shape else mask


def owners(mask: Tensor, batch: Mapping[str, Any], column: str | None) -> Tensor:
    """[batch, n], int64: the domain of each position; 0 where there is no column; -1 where it does not count.

    Raises:
        TaskError: for a column that is missing, or does not fit the batch.
    """
    if column is None:
        return torch.where(mask, 0, -1)
    domains = batch.get(column)
    if not isinstance(domains, Tensor):
        raise TaskError(f"the batch has no {column!r}: PushAway(domains={column!r}) needs that column in the dataset")
    try:
        domains = by_vector(domains, mask.shape)
    except ValueError as error:
        raise TaskError(f"{column!r}: {error}; where rows are packed, give one a token") from None
    if bool((domains < 0).any()):
        raise TaskError(f"{column!r} holds {int(domains.min())}: domains are integers from 0")
    return torch.where(mask, domains, -1)


def counts(owner: Tensor, column: str | None) -> Tensor:
    """[domains], int64: how many positions of each domain count, up to the largest in the batch."""
    if column is None:  # and no wait for the device
        return (owner == 0).sum()[None]
    return torch.bincount(owner[owner >= 0], minlength=1)


class Collator:
    """A trainer's collator that hands one column on beside what it makes of the rest."""

    def __init__(self, stock: Callable[[list[dict[str, Any]]], Any], column: str) -> None:
        self._stock, self._column = stock, column

    def __call__(self, examples: list[dict[str, Any]]) -> Any:
        domains = [example.get(self._column) for example in examples]
        batch = self._stock([{k: v for k, v in example.items() if k != self._column} for example in examples])
        if None not in domains:
            batch[self._column] = torch.tensor(domains)
        return batch
