"""Aggregations as lm_eval calls them: our numbers, and its own ones kept from ending a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval_dispersion._errors import one_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Metric:
    """One of ours, which is the task's to know; the items are the documents' logged values, of all processes."""

    task: Any
    name: str

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, items: Sequence[Any]) -> float | None:
        """The value at the last hidden state."""
        self.task.gather(self.name, items)
        value: float | None = self.task.headline(self.name)[0]
        return value

    def stderr(self, items: Sequence[Any]) -> float | str:
        """Its standard error, in lm_eval's notation."""
        error: float | None = self.task.headline(self.name)[1]
        return "N/A" if error is None else error


@dataclass(frozen=True, eq=False)
class Guarded:
    """One of lm_eval's: null where it fails, as perplexity by word does on a text that has no spaces.

    Every task of a run is aggregated after the last one has been computed, so an error here would take all of them.
    """

    stock: Callable[..., Any]
    note: Callable[[str, str], None]
    """Takes the aggregation's name and the reason."""

    @property
    def __name__(self) -> str:
        return str(getattr(self.stock, "__name__", type(self.stock).__name__))

    def __call__(self, items: Sequence[Any]) -> Any:
        """What lm_eval's gives, or None."""
        return self.kept(self.stock, items, None)

    def kept(self, function: Callable[..., Any], items: Sequence[Any], otherwise: Any) -> Any:
        """What a function of the items gives (the aggregation, or its standard error), or something else."""
        try:
            return function(items)
        except Exception as error:
            self.note(self.__name__, one_line(error))
            logger.warning("%s is not defined here (%s)", self.__name__, one_line(error))
            return otherwise


def standard_error(stock: Callable[..., Any], metric: Any, bootstrap_iters: int) -> Any:
    """See ``seams.standard_errors``."""
    if isinstance(metric, Metric):
        return metric.stderr if bootstrap_iters > 0 else None
    if isinstance(metric, Guarded):
        found = stock(metric=metric.stock, bootstrap_iters=bootstrap_iters)
        return found and (lambda items: metric.kept(found, items, "N/A"))
    return stock(metric=metric, bootstrap_iters=bootstrap_iters)
