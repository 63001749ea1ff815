"""Gives our metrics theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval import evaluator_utils

from lm_eval_dispersion.seams._look import accepts
from lm_eval_dispersion.seams._patch import stand_before


def _look() -> None:
    accepts(evaluator_utils.stderr_for_metric, 0, "metric", "bootstrap_iters")


def attach(of: Callable[..., Any]) -> None:
    """Has ``of(stock, metric, bootstrap_iters)`` say which function of the items is the standard error, or None.

    ``stock`` takes the other two by name, and knows lm_eval's own aggregations only (``lm_eval/api/metrics.py``).
    """
    stand_before(evaluator_utils, "stderr_for_metric", of)
