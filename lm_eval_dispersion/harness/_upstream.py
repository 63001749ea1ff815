"""Every place where we touch lm_eval itself, once one of our tasks is loaded. Plain lm_eval never gets here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from lm_eval import evaluator, evaluator_utils
from lm_eval.api.group import Group
from lm_eval.api.model import LM

from lm_eval_dispersion.harness._evaluation import looking
from lm_eval_dispersion.harness._metric import Guarded, Metric
from lm_eval_dispersion.harness._requests import KINDS, PREFIX, request_method


def attach(is_ours: Callable[[Any], bool]) -> None:
    """Adds our request types to every model class, a look to ``evaluate``, and standard errors to our metrics.

    Args:
        is_ours: whether a task records.
    """
    evaluator.evaluate = looking(evaluator.evaluate, is_ours)
    for kind in KINDS:
        setattr(LM, PREFIX + kind, request_method(kind))
    evaluator_utils.stderr_for_metric = _with_our_standard_errors(evaluator_utils.stderr_for_metric)
    Group.aggregate = _without_undefined(Group.aggregate)


def _with_our_standard_errors(stock: Callable[..., Any]) -> Callable[..., Any]:
    """lm_eval knows standard errors of its own aggregations only (``lm_eval/api/metrics.py``)."""

    @wraps(stock)
    def stderr_for_metric(metric: Any, bootstrap_iters: int) -> Any:
        if isinstance(metric, Metric):
            return metric.stderr if bootstrap_iters > 0 else None
        if isinstance(metric, Guarded):
            found = stock(metric=metric.stock, bootstrap_iters=bootstrap_iters)
            return found and (lambda items: metric.kept(found, items, "N/A"))
        return stock(metric=metric, bootstrap_iters=bootstrap_iters)

    return stderr_for_metric


def _without_undefined(stock: Callable[..., Any]) -> Callable[..., Any]:
    """A group takes a metric that is null in one of its tasks as missing there, where lm_eval would stop."""

    @wraps(stock)
    def aggregate(self: Group, task_metrics: dict[str, dict[str, Any]]) -> Any:
        defined = {
            task: {key: value for key, value in metrics.items() if value is not None}
            for task, metrics in task_metrics.items()
        }
        return stock(self, defined)

    return aggregate
