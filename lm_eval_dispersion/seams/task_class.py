"""Any task with recording mixed in; its requests, which carry their task and a type of ours (``harness/_task``)."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance

from lm_eval_dispersion.seams._look import Moved, accepts, declares, has, uses


def _look() -> None:
    from lm_eval.api.task import ConfigurableTask, Task

    has(Task, "download", "build_all_requests", "doc_iterator", "process_results", "aggregation", "dump_config")
    has(Task, "OUTPUT_TYPE", "DATASET_PATH")
    accepts(ConfigurableTask.__init__, 1, "config")
    uses(Task.build_all_requests, "_instances")
    uses(ConfigurableTask.__init__, "_metric_fn_list")
    declares(Instance, "request_type", "task_name", "doc_id")
    request = Instance("loglikelihood_rolling", {}, ("text",), 0)
    request.dispersion_task = None
    if request.args != ("text",):
        raise Moved("Instance.args are not the arguments it was made with")


def requests_of(task: Any) -> list[Instance]:
    """Those that ``build_all_requests`` has made."""
    return task._instances


def asks_for(metric: str, task: Any) -> bool:
    """Whether one of lm_eval's metrics is computed of it; "bypass" where none is (``--predict_only``)."""
    return metric in getattr(task, "_metric_fn_list", {})
