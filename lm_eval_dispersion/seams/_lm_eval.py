"""lm_eval's tasks, evaluator and base class of models (``_discovery``, ``harness/``)."""

from __future__ import annotations

from typing import Any

from lm_eval_dispersion.seams._look import Moved, accepts, declares, has, uses


def task_manager() -> None:
    """Finds our tasks: a folder is added to what it indexes, and it takes names with our prefix."""
    from lm_eval import tasks
    from lm_eval.tasks.manager import TaskIndex, TaskManager

    has(tasks, "TaskManager")
    accepts(TaskManager.__init__, 1, "include_path", "include_defaults")
    has(TaskManager, "_load_spec", "match_tasks", "all_tasks")
    accepts(TaskManager.match_tasks, 2)
    uses(TaskManager.__init__, "build", "_index", "metadata", "_factory")
    uses(TaskManager.load, "_load_spec")
    index = TaskIndex.build([])
    if not isinstance(index, dict):
        raise Moved("TaskIndex.build makes no dict")


def task_index() -> None:
    """Where ``wraps:`` and our prefix look a task, group or tag up, and how its YAML is read."""
    from lm_eval.tasks._index import Entry, Kind, TaskIndex
    from lm_eval.tasks._yaml_loader import load_yaml

    declares(Entry, "name", "kind", "yaml_path", "cfg", "tags")
    has(Kind, "TASK", "PY_TASK", "GROUP", "TAG")
    accepts(TaskIndex.build, 1)
    accepts(load_yaml, 1)


def task_class() -> None:
    """Any task with recording mixed in."""
    from lm_eval.api.task import ConfigurableTask, Task

    has(Task, "download", "build_all_requests", "doc_iterator", "process_results", "aggregation", "dump_config")
    has(Task, "OUTPUT_TYPE", "DATASET_PATH")
    accepts(ConfigurableTask.__init__, 1, "config")
    uses(Task.build_all_requests, "_instances")
    uses(ConfigurableTask.__init__, "_metric_fn_list")


def task_factory() -> None:
    """Makes a task of a YAML's ``class:``, and hands it the configuration; looks members up by ``in`` and ``[]``."""
    from lm_eval.tasks._factory import TaskFactory
    from lm_eval.tasks._index import Entry, Kind

    class Ours:
        task_name = "seam"

        def __init__(self, config: dict[str, Any]) -> None:
            self.handed = config

    entry = Entry("seam", Kind.PY_TASK, None, {"task": "seam", "class": Ours})
    made = TaskFactory().build(entry, registry={})
    if not isinstance(made, Ours) or made.handed.get("task") != "seam":
        raise Moved("TaskFactory does not hand its configuration to a `class:`")

    class Index(dict[str, Entry]):
        def __contains__(self, name: object) -> bool:
            return name == "seam"

        def __missing__(self, name: str) -> Entry:
            return entry

    group = Entry("group", Kind.GROUP, None, {"group": "group", "task": ["seam"]})
    if not all(isinstance(member, Ours) for member in TaskFactory().build(group, registry=Index())):
        raise Moved("TaskFactory does not look the members of a group up in its index by `in` and []")


def instance() -> None:
    """A request: its type is replaced by ours, and it carries its task."""
    from lm_eval.api.instance import Instance

    declares(Instance, "request_type", "task_name", "doc_id")
    request = Instance("loglikelihood_rolling", {}, ("text",), 0)
    request.dispersion_task = None
    if request.args != ("text",):
        raise Moved("Instance.args are not the arguments it was made with")


def model_class() -> None:
    """Has our request types attached, and a cache that our answers are kept in."""
    from lm_eval.api.model import LM, CacheHook, CachingLM, TemplateLM, hash_args

    uses(CachingLM.__init__, "lm", "set_cache_hook")
    accepts(LM.gather_object, 2, "dst")
    has(TemplateLM, "tok_encode", "_loglikelihood_tokens")
    uses(TemplateLM.loglikelihood, "_loglikelihood_tokens")
    uses(LM.__init__, "cache_hook")
    uses(CacheHook.__init__, "dbdict")
    accepts(CacheHook.add_partial, 4)
    hash_args("kind", ["text", {"window": 512}])


def evaluator() -> None:
    """Calls a model's method by the type that a request carries, and asks the task for its results."""
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


def standard_errors() -> None:
    """Gives our metrics theirs."""
    from lm_eval import evaluator_utils

    accepts(evaluator_utils.stderr_for_metric, 0, "metric", "bootstrap_iters")


def groups() -> None:
    """Skip a metric that is null in one of their tasks, and aggregate D where they aggregate anything."""
    from lm_eval.api.group import Group
    from lm_eval.config.group import AggMetricConfig

    accepts(Group.aggregate, 2)
    has(Group, "get_all_groups")
    declares(Group, "aggregate_metric_list")
    accepts(AggMetricConfig, 0, "metric", "weight_by_size")


def demo_questions() -> None:
    """MMLU questions that lm_eval carries, for ``dispersion_demo_mmlu``."""
    from pathlib import Path

    import lm_eval

    if not (Path(lm_eval.__file__).parent / "tasks/mmlu/flan_cot_fewshot/_cot_prompts.json").is_file():
        raise Moved("tasks/mmlu/flan_cot_fewshot/_cot_prompts.json is gone")


LOOKS = (
    task_manager,
    task_index,
    task_factory,
    task_class,
    instance,
    model_class,
    evaluator,
    standard_errors,
    groups,
    demo_questions,
)
