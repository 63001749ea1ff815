"""Calls a model's method by the type that a request carries, and asks the task for its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

from lm_eval import evaluator

from lm_eval_dispersion.seams._look import Moved, accepts, uses
from lm_eval_dispersion.seams._patch import stand_before
from lm_eval_dispersion.seams.response_cache import model_behind


def around(evaluating: Callable[[Any, list[Any], Callable[[], Any]], Any]) -> None:
    """Stands before lm_eval's ``evaluate``.

    Args:
        evaluating: takes the model, the tasks, and the function itself, which gives the results.
    """

    def evaluate(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = signature(stock).bind(*args, **kwargs).arguments
        return evaluating(model_behind(given["lm"]), list(_tasks(given["task_dict"])), lambda: stock(*args, **kwargs))

    stand_before(evaluator, "evaluate", evaluate)


def _tasks(task_dict: dict[Any, Any]) -> Iterator[Any]:
    """Of what ``TaskManager.load`` gives, or of nested groups, as older callers have them."""
    for value in task_dict.get("tasks", task_dict).values():
        if isinstance(value, dict):
            yield from _tasks(value)
        else:
            yield value


def _look() -> None:
    from datasets import Dataset
    from lm_eval.api.model import LM
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate, simple_evaluate

    uses(simple_evaluate, "evaluate")
    accepts(evaluate, 0, "lm", "task_dict")
    called: list[str] = []

    class Model(LM):
        def loglikelihood(self, requests: Any) -> Any:
            return []

        loglikelihood_rolling = generate_until = loglikelihood

        def dispersion_seam(self, requests: list[Any]) -> list[float]:
            called.append("dispersion_seam")
            return [-1.0] * len(requests)

    class Ours(ConfigurableTask):
        def build_all_requests(self, **kwargs: Any) -> None:
            super().build_all_requests(**kwargs)
            for request in self._instances:
                request.request_type = "dispersion_seam"
            self.OUTPUT_TYPE = "dispersion_seam"

        def doc_iterator(self, **kwargs: Any) -> Any:
            called.append("doc_iterator")
            return super().doc_iterator(**kwargs)

        def process_results(self, doc: Any, results: Any) -> Any:
            called.append("process_results")
            self.OUTPUT_TYPE = "loglikelihood_rolling"
            return super().process_results(doc, results) | {"seam": 0}

        def aggregation(self) -> Any:
            return super().aggregation() | {"seam": len}

        def dump_config(self) -> Any:
            return super().dump_config() | {"metadata": {"seam": True}}

    config = {
        "task": "seam",
        "custom_dataset": lambda **_: {"test": Dataset.from_list([{"text": "one text"}])},
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "bits_per_byte"}],
    }
    found = evaluate(Model(), {"seam": Ours(config=config)}, bootstrap_iters=0)
    if [name for name in called if name != "doc_iterator"] != ["dispersion_seam", "process_results"]:
        raise Moved("evaluate() does not call a model's method by the type of its requests")
    if called[-2] != "doc_iterator":
        raise Moved("evaluate() does not take documents from doc_iterator() before it calls process_results()")
    if found["results"]["seam"].get("seam,none") != 1 or not found["configs"]["seam"]["metadata"].get("seam"):
        raise Moved("evaluate() does not write a task's own metrics and metadata into its results")
