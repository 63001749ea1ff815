"""All of lm_eval's own names with our prefix; what a list of tasks shows; and which of ours a pattern takes in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks._index import Kind

from lm_eval_dispersion._discovery import tasks_folder

PREFIX = "dispersion_"
PROMISED = (
    *("arc_easy", "arc_challenge", "boolq", "gsm8k", "hellaswag", "lambada_openai", "mmlu", "mmlu_anatomy"),
    *("mmlu_stem", "mmlu_stem_tasks", "openbookqa", "piqa", "truthfulqa_mc2", "winogrande"),
    *("mmlu_pro", "leaderboard", "ai2_arc"),
)


@pytest.fixture(scope="module")
def manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def shipped() -> set[str]:
    yaml = "\n".join(file.read_text() for file in Path(tasks_folder()).rglob("*.yaml"))
    return set(re.findall(r"^(?:task|group|tag): (\w+)$", yaml, re.MULTILINE))


def test_every_name_of_lm_eval_has_one_with_our_prefix_and_its_members_are_all_there(manager: Any) -> None:
    index, ours = manager.task_index, shipped()
    stock = [name for name in index if name not in ours]
    assert len(stock) > 13_000
    for name in stock:
        entry, wrapped = index[name], index[PREFIX + name]
        assert (wrapped.name, wrapped.yaml_path) == (PREFIX + name, None)
        assert wrapped.kind is (Kind.PY_TASK if entry.kind is Kind.TASK else entry.kind)
        if entry.kind in (Kind.TASK, Kind.PY_TASK):
            assert wrapped.cfg["wraps"] == name
        elif entry.kind is Kind.TAG:
            assert wrapped.tags == {PREFIX + member for member in entry.tags}
        else:
            assert wrapped.cfg["group"] == PREFIX + name
            for member in wrapped.cfg["task"] if isinstance(wrapped.cfg.get("task"), list) else []:
                asked = member if isinstance(member, str) else member.get("task")
                assert not isinstance(asked, str) or (asked.startswith(PREFIX) and asked in index), (name, asked)
    assert set(PROMISED) <= set(stock)


def test_a_list_of_tasks_shows_what_we_ship_and_no_more(manager: Any) -> None:
    for name in PROMISED:
        assert manager.match_tasks([PREFIX + name]) == [PREFIX + name]
        assert manager.task_index[PREFIX + name]
    shown = (*manager.all_groups, *manager.all_tags, *manager.all_subtasks)
    listed = {name for name in shown if name.startswith("dispersion")}
    assert listed == shipped() == {name for name in manager.all_tasks if name.startswith("dispersion")}
    assert {"dispersion", "dispersion_wiki", "dispersion_text", "dispersion_demo_news"} < listed and len(listed) < 20


def test_a_pattern_that_says_anything_takes_in_what_is_listed_and_can_run(manager: Any) -> None:
    from copy import copy

    can_run = sorted(shipped() - {"dispersion", "dispersion_text"})
    assert manager.match_tasks(["dispersion_*"]) == can_run
    assert manager.match_tasks("dispersion*") == can_run  # and not the group of six of them: lm_eval takes a task once
    assert manager.match_tasks(["dispersio[n]", "dispersion"]) == ["dispersion"]
    assert "dispersion_text" not in manager.match_tasks(["dispersion_t*", "dispersion*", "*_text"])
    assert "dispersion_text" in manager.match_tasks(["dispersion_text"])  # asked for by name, it says what it needs
    given = copy(manager)
    given.metadata = {"dispersion": {"text": "my/*.jsonl"}}
    assert given.match_tasks(["dispersion_*"]) == sorted([*can_run, "dispersion_text"])
    assert "dispersion_text" not in manager.match_tasks(["dispersion_*"])


def test_a_pattern_takes_in_what_the_same_pattern_takes_of_lm_evals(manager: Any) -> None:
    for pattern in ("arc_*", "mmlu_anatomy*", "leaderboard_gpq[a]*", "?rc_easy"):
        assert manager.match_tasks([PREFIX + pattern]) == [PREFIX + name for name in manager.match_tasks([pattern])]
    assert len(manager.match_tasks(["dispersion_arc_*"])) > 2
