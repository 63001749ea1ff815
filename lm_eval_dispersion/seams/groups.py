"""Skip a metric that is null in one of their tasks, and aggregate D where they aggregate anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval.api.group import Group
from lm_eval.config.group import AggMetricConfig

from lm_eval_dispersion.seams._look import accepts, declares, has
from lm_eval_dispersion.seams._patch import stand_before


def _look() -> None:
    accepts(Group.aggregate, 2)
    has(Group, "get_all_groups")
    declares(Group, "aggregate_metric_list")
    accepts(AggMetricConfig, 0, "metric", "weight_by_size")


def skip_undefined() -> None:
    """A group takes a metric that is null in one of its tasks as missing there, where lm_eval would stop."""

    def aggregate(stock: Callable[..., Any], group: Group, task_metrics: dict[str, dict[str, Any]]) -> Any:
        kept = {task: {k: v for k, v in metrics.items() if v is not None} for task, metrics in task_metrics.items()}
        return stock(group, kept)

    stand_before(Group, "aggregate", aggregate)


def aggregate_also(metric: str, built: Any) -> None:
    """Lets a group that lm_eval's factory made, and those in it, aggregate a metric where they aggregate anything.

    A task, or the tasks of a tag, is left as it is.
    """
    for group in [built, *built.get_all_groups()] if isinstance(built, Group) else []:
        metrics = group.aggregate_metric_list
        if metrics and not any(one.metric == metric for one in metrics):
            metrics.append(AggMetricConfig(metric=metric, weight_by_size=True))
