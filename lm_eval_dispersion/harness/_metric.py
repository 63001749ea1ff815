"""Our numbers as lm_eval aggregations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Metric:
    """An lm_eval aggregation: ignores the items, which are the documents' logged values, and asks the task."""

    task: Any
    name: str

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, items: Sequence[Any]) -> float | None:
        """The value at the last hidden state."""
        value: float | None = self.task.summary.last_layer(self.name)[0]
        return value

    def stderr(self, items: Sequence[Any]) -> float | str:
        """Its standard error, in lm_eval's notation."""
        error: float | None = self.task.summary.last_layer(self.name)[1]
        return "N/A" if error is None else error
