"""``dispersion_NAME`` is NAME with dispersion recorded: a task, group, tag or pattern, by no YAML of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stock import CHOICE, CONTEXTS, LAST_WORD, LETTERS, task_manager

from lm_eval_dispersion import DispersionTask
from lm_eval_dispersion._errors import TaskError

PREFIX = "dispersion_"
LIMIT = 4
TASKS = {
    "stock_choice": f"{CHOICE}\ntag: stock_questions",
    # Two documents where the others have four, so that weights show.
    "stock_letters": LETTERS.replace("lm_eval_dispersion.corpora.demo_mmlu", "here.two_questions"),
    "stock_contexts": f"{CONTEXTS}\ntag: stock_questions",
    "stock_last_word": LAST_WORD,
    "stock_python": "task: stock_python\nclass: !function here.Python\n",
    "stock_by_a_function": "task: stock_by_a_function\nclass: !function here.python\n",
    "stock_parts": """
group: stock_parts
group_alias: parts
task: [stock_questions, {task: stock_letters, task_alias: letters, num_fewshot: 1}]
aggregate_metric_list: {metric: acc, weight_by_size: true, filter_list: none}
metadata: {version: 4}
""",
    "stock_group": r"""
group: stock_group
task:
  - group: stock_parts
    fewshot_delimiter: "\n"
  - group: more
    task: [stock_last_word, stock_python]
    aggregate_metric_list: [{metric: acc, weight_by_size: false}]
  - task: described
    custom_dataset: !function here.two_questions
    output_type: multiple_choice
    test_split: test
    doc_to_text: "{{question}}"
    doc_to_choice: letters
    doc_to_target: answer
    metric_list: [{metric: acc}]
aggregate_metric_list: [{metric: acc, weight_by_size: false}, {metric: acc_norm}]
metadata: {version: 5}
target_delimiter: ": "
""",
}
HERE = """
from lm_eval.api.task import ConfigurableTask
from lm_eval_dispersion.corpora import demo_mmlu

def two_questions(**_):
    return {"test": demo_mmlu()["test"].select(range(5, 7))}

class Python(ConfigurableTask):
    def __init__(self):
        described = {"custom_dataset": demo_mmlu, "output_type": "multiple_choice", "test_split": "test"}
        asked = {"doc_to_text": "{{question}}", "doc_to_choice": "letters", "doc_to_target": "answer"}
        super().__init__(config=described | asked | {"metric_list": [{"metric": "acc"}], "metadata": {"version": 7}})

def python():
    return Python()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "here.py").write_text(HERE)
    return folder


@pytest.fixture(scope="module")
def evaluated(folder: Path, tiny_llama: Path) -> Any:
    """Results of tasks, as ``simple_evaluate`` gives them."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=str(tiny_llama), device="cpu")

    def evaluate(*tasks: Any) -> dict[str, Any]:
        manager = task_manager(folder)
        found = simple_evaluate(model=lm, tasks=list(tasks), limit=LIMIT, task_manager=manager, bootstrap_iters=2)
        assert found is not None
        return dict(found)

    return evaluate


def names(manager: Any, *specs: Any) -> set[str]:
    return set(manager.load(list(specs))["tasks"])


def test_a_group_has_lm_evals_numbers_and_dispersion_weighted_by_size(evaluated: Any) -> None:
    ours, theirs = evaluated("dispersion_stock_group"), evaluated("stock_group")
    groups = {"stock_group", "stock_parts", "stock_group::more"}
    tasks = {"stock_choice", "stock_letters", "stock_contexts", "stock_last_word", "stock_python"}
    assert set(theirs["results"]) == groups | tasks | {"stock_group::described"}
    assert set(ours["results"]) == {PREFIX + name for name in theirs["results"]}
    for name, stock in theirs["results"].items():
        found = ours["results"][PREFIX + name]
        numbers = {key: value for key, value in stock.items() if key not in ("name", "alias", "sample_count")}
        assert {key: found[key] for key in numbers} == numbers, name
        assert stock["alias"] in (name, found["alias"])
        for what in ("versions", "n-shot", "n-samples"):
            assert ours[what].get(PREFIX + name) == theirs[what].get(name), (name, what)
    assert ours["group_subtasks"] == {
        PREFIX + group: [PREFIX + member for member in members] for group, members in theirs["group_subtasks"].items()
    }
    assert len({theirs["results"][name]["acc,none"] for name in groups}) > 1  # or wrong weights would not show
    for group in groups:
        leaves = [ours["results"][name] for name in _leaves(ours["group_subtasks"], PREFIX + group)]
        found = ours["results"][PREFIX + group]
        assert len({leaf["sample_len"] for leaf in leaves}) == (1 if group.endswith("more") else 2)
        total = sum(leaf["dispersion,none"] * leaf["sample_len"] for leaf in leaves)
        assert found["dispersion,none"] == pytest.approx(total / found["sample_len"])
        assert found["dispersion_stderr,none"] > 0
    records = {name: config["metadata"]["dispersion"] for name, config in ours["configs"].items()}
    assert {name: record["base_task"] for name, record in records.items()} == {
        **{PREFIX + name: name for name in tasks},
        "dispersion_stock_group::described": None,
    }


def _leaves(tree: dict[str, list[str]], group: str) -> list[str]:
    return [leaf for name in tree[group] for leaf in (_leaves(tree, name) if name in tree else [name])]


def test_a_tag_stays_a_tag_and_a_pattern_stands_for_the_tasks_that_it_matches(folder: Path) -> None:
    manager = task_manager(folder)
    questions = {"dispersion_stock_choice", "dispersion_stock_contexts"}
    loaded = manager.load(["dispersion_stock_questions"])
    assert set(loaded["tasks"]) == questions and not loaded["groups"]
    assert names(manager, "dispersion_stock_c*") == questions
    assert manager.match_tasks(["dispersion_stock_c*"]) == sorted(questions)
    assert manager.match_tasks(["dispersion_stock_*"]) == [PREFIX + name for name in manager.match_tasks(["stock_*"])]
    assert manager.match_tasks(["dispersion_stock_group", "stock_group"]) == ["dispersion_stock_group", "stock_group"]


def test_a_users_group_may_name_prefixed_members_and_change_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "group: mine\ntask:\n  - {group: dispersion_stock_group, task_alias: all}\n  - dispersion_stock_last_word\n"
        "  - {task: dispersion_stock_letters, num_fewshot: 0}\n  - dispersion_stock_c*\n"
        "  - task: stock_python\n    class: !function lm_eval_dispersion.DispersionTask\n"
    )
    manager = task_manager(folder, tmp_path)
    mine = manager.load(["mine"])
    direct = {name: task for name, task in mine["tasks"].items() if name in mine["group_map"]["mine"]}
    assert set(direct) == {
        *("dispersion_stock_last_word", "dispersion_stock_letters", "dispersion_stock_choice"),
        *("dispersion_stock_contexts", "stock_python"),
    }
    assert set(mine["groups"]) == {"mine"} | {
        PREFIX + group for group in ("stock_group", "stock_parts", "stock_group::more")
    }
    assert all("dispersion" in task.aggregation() for task in mine["tasks"].values())
    assert mine["tasks"]["dispersion_stock_letters"].config.num_fewshot == 0
    # Nothing is listed for having been used.
    assert not [name for name in manager.task_index if name.startswith(PREFIX)]


def test_a_real_yaml_wins_wherever_its_name_is_used(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: dispersion_stock_choice\nwraps: stock_letters\nclass: !function lm_eval_dispersion.DispersionTask\n"
        "task_alias: mine\n"
    )
    manager = task_manager(folder, tmp_path)
    for spec in ("stock_choice", "stock_questions", "stock_group", "stock_c*"):
        task = manager.load([PREFIX + spec])["tasks"]["dispersion_stock_choice"]
        assert task.config.task_alias == "mine", spec
    assert manager.load([{"task": "dispersion_stock_choice"}])["tasks"]["dispersion_stock_choice"].config.task_alias


def test_a_task_that_records_already_is_not_wrapped_again(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: mine\nwraps: stock_choice\nclass: !function lm_eval_dispersion.DispersionTask\n"
    )
    (tmp_path / "both.yaml").write_text("group: both\ntask: [mine, stock_letters, dispersion_stock_contexts]\n")
    (tmp_path / "ours.yaml").write_text("group: ours\ntask: [mine, dispersion_stock_contexts]\n")
    manager = task_manager(folder, tmp_path)
    assert names(manager, "dispersion_both") == {"mine", "dispersion_stock_letters", "dispersion_stock_contexts"}
    assert manager.match_tasks(["dispersion_m*", "dispersion_o*"]) == []
    for name in ("mine", "ours"):
        with pytest.raises(TaskError, match=f"^lm-eval-dispersion: dispersion_{name}: {name} records .* already"):
            manager.load([f"dispersion_{name}"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"task": "dispersion_stock_choice", "num_fewshot": 1}, {"dispersion_stock_choice"}),
        ({"task": "stock_choice", "class": DispersionTask, "num_fewshot": 1}, {"stock_choice"}),
        ({"task": "mine", "wraps": "stock_choice", "class": DispersionTask, "num_fewshot": 1}, {"mine"}),
        ({"task": "stock_questions", "class": DispersionTask, "num_fewshot": 1}, {"stock_choice", "stock_contexts"}),
        (
            {"group": "dispersion_stock_parts", "num_fewshot": 1},
            {"dispersion_stock_choice", "dispersion_stock_contexts", "dispersion_stock_letters"},
        ),
    ],
)
def test_a_dict_with_our_prefix_or_class_is_the_task_of_its_name_changed(
    spec: dict[str, Any], expected: set[str], folder: Path
) -> None:
    tasks = task_manager(folder).load([spec])["tasks"]
    assert set(tasks) == expected
    for task in tasks.values():
        assert task.config.num_fewshot == 1 and "dispersion" in task.aggregation()
        assert task.config.doc_to_choice and task.VERSION == 1.0


def test_a_group_given_our_class_records_under_its_own_names(evaluated: Any) -> None:
    ours, theirs = evaluated({"task": "stock_parts", "class": DispersionTask}), evaluated("stock_parts")
    assert set(ours["results"]) == set(theirs["results"])
    for name, stock in theirs["results"].items():
        numbers = {key: value for key, value in stock.items() if key != "sample_count"}
        assert ours["results"][name] | numbers == ours["results"][name]
        assert 0 < ours["results"][name]["dispersion,none"] < 2
    assert {name: c["metadata"]["dispersion"]["base_task"] for name, c in ours["configs"].items()} == {
        name: name for name in theirs["configs"]
    }


def test_what_cannot_be_wrapped_says_so_in_one_line_and_what_is_not_there_is_not_found(folder: Path) -> None:
    manager = task_manager(folder)
    with pytest.raises(TaskError) as stop:
        manager.load(["dispersion_stock_by_a_function"])
    assert "stock_by_a_function cannot be wrapped: its `class: python` is no class" in str(stop.value)
    with pytest.raises(TaskError, match="stock_choise: names no task"):
        manager.load([{"task": "stock_choise", "class": DispersionTask}])
    assert manager.match_tasks(["dispersion_stock_choise", "dispersion_stock_choise*"]) == []
    for name in ("dispersion_stock_choise", "stock_choise"):
        with pytest.raises(KeyError, match="not a registered task"):
            manager.load([name])


def test_a_run_without_our_names_loads_nothing_of_ours_but_the_hook(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text(
        "from datasets import Dataset\ndef data(**_):\n    return {'test': Dataset.from_dict({'text': ['a']})}\n"
    )
    (tmp_path / "plain.yaml").write_text(
        "task: plain\ntag: some\ncustom_dataset: !function here.data\noutput_type: loglikelihood_rolling\n"
        'test_split: test\ndoc_to_text: ""\ndoc_to_target: text\nmetric_list: [{metric: bits_per_byte}]\n'
    )
    code = f"""
import sys
from lm_eval.tasks import TaskManager
manager = TaskManager(include_path={str(tmp_path)!r}, include_defaults=False)
assert manager.match_tasks(["pl*", "some"]) == ["plain", "some"] and manager.match_tasks("nothing") == []
assert list(manager.load(["some"])["tasks"]) == ["plain"]
print(*sorted(name for name in sys.modules if name.startswith("lm_eval_dispersion.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ours = {name.removeprefix("lm_eval_dispersion.") for name in done.stdout.split()}
    # What finds tasks, and nothing of models or evaluations.
    room = ("", ".groups", ".task_index", ".task_manager", "._look", "._patch", "._versions")
    looks = ("._transformers", "._vllm")
    hook = {"_discovery", "_errors", "_prefix", "_task_manager", "_version"}
    assert ours == hook | {f"seams{file}" for file in (*room, *looks)}
