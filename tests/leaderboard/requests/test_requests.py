"""What makes a request, on which suites, and what stands in the file of its states."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from dispersion_leaderboard.requests import BadRequest, Entry, Request, Shard, read_suites
from queue_made import NOW, request


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "holds no suites"),
        ("a: {tasks: []}", "needs `tasks:`"),
        ("a: {tasks: [x], other: 1}", "knows no other"),
        ("a: {tasks: ['x y;z']}", "is no task name"),
        ("a: {tasks: [x, x]}", "same tasks twice"),
        ("A B: {tasks: [x]}", "a name has small letters"),
        ("a: {tasks: [x], limit: 0}", "limit is a number"),
        ("a: {tasks: [x], include_path: nowhere}", "no folder"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_of_suites_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "suites.yaml").write_text(text)
    with pytest.raises(SystemExit, match=why):
        read_suites(tmp_path / "suites.yaml")


def test_the_tasks_of_the_shipped_suites_exist() -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    for suite in read_suites().values():
        for task in (task for group in suite.groups for task in group):
            assert manager.match_tasks([task]) == [task]


def test_a_suite_whose_tasks_change_is_another_request() -> None:
    suite = read_suites()["demo"]
    changed = replace(suite, limit=13)
    first, second = (Request("org/m", "0" * 40, one.id) for one in (suite, changed))
    assert first.key != second.key and first.suite.split("@")[0] == second.suite.split("@")[0]


@pytest.mark.parametrize(
    "model",
    ["../../etc", "org/name;rm", "org/na me", "https://x/y", "org", "a/b/c", "org/..", "-o/x", "o/x\n", "o/x--y"],
)
def test_a_model_id_that_is_none_makes_no_request(model: str) -> None:
    with pytest.raises(BadRequest):
        Request(model, "0" * 40, "demo@00000000")


def test_a_request_has_its_key_from_what_decides_the_result_and_from_nothing_else() -> None:
    one = request(1)
    others = [
        replace(one, model="org/other"),
        replace(one, revision="f" * 40),
        replace(one, precision="float16"),
        replace(one, chat_template=True),
        replace(one, gguf_file="a.gguf"),
        replace(one, suite="made@00000000"),
    ]
    assert len({one.key, *(other.key for other in others)}) == 7
    assert Request.from_json(one.to_json() | {"added later": 1}).key == one.key


def test_what_a_later_version_has_written_into_the_states_is_kept() -> None:
    entry = Entry.new(request(1), NOW)
    content = Shard({"a" * 32: entry}).dump()
    later = json.loads(content) | {"b" * 32: {"state": "sleeping"}, "c" * 32: 7}
    shard = Shard.load(json.dumps(later).encode())
    assert shard.entries == {"a" * 32: entry}
    assert json.loads(shard.dump()) == later
    with pytest.raises(BadRequest):
        Shard.load(b"<<<<<<< HEAD")


def test_what_stands_in_the_states_is_fit_to_be_shown() -> None:
    hostile = {"model": "org/\u202em", "suite": "x", "submitted": NOW, "since": NOW, "state": "failed", "reason": "oom"}
    shard = Shard.load(json.dumps({"a" * 32: hostile | {"detail": "token=hf_abcdefghijklmnop at /home/me/x"}}).encode())
    entry = shard.entries["a" * 32]
    assert "\u202e" not in entry.model and "hf_" not in entry.detail and "/home/me" not in entry.detail
