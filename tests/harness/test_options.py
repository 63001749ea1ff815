"""An option is for the tasks that take it: the others do not record it, and what none of a run takes is refused."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
from stock import task_manager

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._errors import TaskError

NEWS, TEXT = "dispersion_demo_news", "dispersion_text"


@pytest.fixture
def evaluate(tiny_llama: Path) -> Any:
    """The records of a run of these tasks with these options, on two documents of each."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    def run(*tasks: str, **options: Any) -> dict[str, Any]:
        gc.collect()  # tasks of an earlier run that had the same options
        manager = task_manager(Path(tasks_folder()), metadata={"dispersion": options})
        lm = HFLM(pretrained=str(tiny_llama), device="cpu")
        found = simple_evaluate(model=lm, tasks=list(tasks), task_manager=manager, limit=2, bootstrap_iters=0)
        return {task: found["configs"][task]["metadata"]["dispersion"] for task in tasks}

    return run


@pytest.fixture
def text(tmp_path: Path) -> str:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": f"words {i}", "body": f"news {i}"}) + "\n" for i in range(9)))
    return str(file)


def test_a_task_is_not_labelled_with_the_options_of_another(evaluate: Any, text: str) -> None:
    records = evaluate(TEXT, NEWS, text=text, name="mine", field="body", max_documents=5)
    theirs, ours = records[NEWS]["corpus"], records[TEXT]["corpus"]
    assert (theirs["name"], theirs["selection"]) == (NEWS, {})
    assert ours["name"] == "mine"
    # the seed that drew the sample, too, which was not given
    assert ours["selection"] == {"field": "body", "max_documents": 5, "seed": 0}


def test_all_documents_are_no_selection(evaluate: Any, text: str) -> None:
    records = evaluate(TEXT, text=text, max_documents="all", seed=4)
    assert records[TEXT]["corpus"]["selection"] == {}


@pytest.mark.parametrize("option", ["text", "name", "max_documents", "seed"])
def test_an_option_that_no_task_of_the_run_takes_is_refused(evaluate: Any, option: str) -> None:
    with pytest.raises(TaskError) as stop:
        evaluate(NEWS, "dispersion_demo_mmlu", **{option: 3})
    line = str(stop.value)
    assert f"{NEWS}: takes no option {option!r}" in line and "\n" not in line


def test_options_that_are_no_object_are_refused() -> None:
    manager = task_manager(Path(tasks_folder()), metadata={"dispersion": ["max_documents"]})
    with pytest.raises(TaskError) as stop:
        manager.load([NEWS])
    assert f'{NEWS}: "dispersion" in --metadata must be an object' in str(stop.value)


def test_a_wrong_number_is_refused_by_the_task_that_takes_it_before_anything_is_fetched() -> None:
    manager = task_manager(Path(tasks_folder()), metadata={"dispersion": {"max_documents": 0}})
    with pytest.raises(TaskError) as stop:
        manager.load(["dispersion_law"])
    assert "dispersion_law: max_documents must be a whole number of at least 1" in str(stop.value)


def test_a_corpus_is_read_although_the_model_is_given_with_a_revision(tmp_path: Path) -> None:
    """lm_eval hands every model argument to a corpus as well."""
    (tmp_path / "corpus.py").write_text(
        "from datasets import Dataset\n\n"
        "def data(revision, **_):\n    return {'test': Dataset.from_dict({'text': [f'at {revision}']})}\n"
    )
    (tmp_path / "mine.yaml").write_text(
        f"include: {tasks_folder()}/_corpus_yaml\ntask: mine\ncustom_dataset: !function corpus.data\n"
        "dataset_kwargs: {revision: v1}\n"
    )
    manager = task_manager(tmp_path, metadata={"pretrained": "a-model", "revision": "step3000"})
    (task,) = manager.load(["mine"])["tasks"].values()
    assert list(task.dataset["test"]["text"]) == ["at v1"]
