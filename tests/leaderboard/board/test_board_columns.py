"""Which numbers share a column: only those that may be compared, under names that tell the columns apart."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from dispersion_leaderboard.board import lay_out, observations
from dispersion_leaderboard.records import read_conventions, read_records
from dispersion_leaderboard.site._task_page import task_path
from made import board_of, made, save, task_named

PIQA = "dispersion_piqa"


def scored_by(run: dict, **by_filter: float) -> dict:
    """The run with its second task scored as given, by filter."""
    results = {k: v for k, v in run["results"][PIQA].items() if not k.startswith("acc")}
    for name, value in by_filter.items():
        kept = name.replace("_", "-")
        results |= {f"exact_match,{kept}": value, f"exact_match_stderr,{kept}": 0.01}
    run["results"][PIQA] = results
    return run


def test_answers_taken_out_by_different_filters_are_not_compared(tmp_path: Path) -> None:
    strict = scored_by(made("org/a", 0), strict_match=0.4, flexible_extract=0.9)
    flexible = scored_by(made("org/b", 1), flexible_extract=0.8)
    found = board_of(tmp_path, strict, flexible)
    columns = {c.filter: i for i, c in enumerate(found.columns) if c.kind == "accuracy" and c.name == "piqa"}
    rows = {m: i for i, m in enumerate(found.entries["model"])}
    assert set(columns) == {"strict-match", "flexible-extract"}
    assert found.values[rows["org/a"], columns["strict-match"]] == 0.4
    assert found.values[rows["org/b"], columns["flexible-extract"]] == 0.8
    # The stricter reading is the one shown of a model that has both, and the labels say which is which.
    assert np.isnan(found.values[rows["org/a"], columns["flexible-extract"]])
    assert all(name in found.columns[i].label for name, i in columns.items())
    # D knows nothing of answers.
    prompts = [i for i in found.of_kind("prompts") if found.columns[i].name == "piqa"]
    assert len(prompts) == 1 and np.isfinite(found.values[:, prompts]).all()


@pytest.mark.parametrize("shots", [None, 3, 5])
def test_columns_that_differ_only_in_shots_have_names_of_their_own(tmp_path: Path, shots: int | None) -> None:
    other = made("org/b", 1)
    if shots is None:
        del other["n-shot"][PIQA], other["configs"][PIQA]["num_fewshot"]
    else:
        other["n-shot"][PIQA] = shots
    found = board_of(tmp_path, made("org/a"), other)
    labels = [c.label for c in found.columns if c.kind == "accuracy" and c.name == "piqa"]
    assert len(labels) == len(set(labels)) == 2


def test_hostile_task_names_give_distinct_keys_fit_for_a_file(tmp_path: Path) -> None:
    names = [
        "a b",
        "a-b",
        "a-b-2",
        "../../x",
        ".hidden",
        "..",
        "模型",
        "🤖",
        "CON",
        "x" * 200,
        "x" * 201,
        "a_b",
        "a.b",
        "accuracy",
    ]
    run = made("org/a")
    whole = made("org/a")
    for i, name in enumerate(names):
        copy = task_named(made("org/a", i), PIQA, name)
        for part in ("results", "configs", "versions", "n-shot", "n-samples", "task_hashes"):
            whole[part][name] = copy[part][name]
    found = board_of(tmp_path, run | whole)
    keys = [c.key for c in found.columns]
    assert len(set(keys)) == len(keys) == len(names) + 6
    for column in found.columns:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,90}[a-z0-9])?", column.key), column
    pages = [task_path(column) for column in found.columns if column.kind == "accuracy"]
    assert len(set(pages)) == len(pages) and all(re.fullmatch(r"tasks/[a-z0-9][a-z0-9.-]*\.html", p) for p in pages)


def test_of_several_runs_the_newest_is_shown(tmp_path: Path) -> None:
    for i, share in enumerate([0.3, 0.7, 0.5]):
        run = made("org/a", i)
        run["results"][PIQA]["acc,none"] = share
        save(tmp_path, f"m{i}", run)
    # The same benchmark by lm_eval's own task, older than all.
    stock = task_named(made("org/a", 0), PIQA, "piqa")
    stock["date"] -= 100
    stock["results"]["piqa"]["acc,none"] = 0.9
    found = board_of(tmp_path / "more", stock)
    found = lay_out(read_records([str(tmp_path)], read_conventions()), read_conventions())
    (column,) = [i for i, c in enumerate(found.columns) if c.kind == "accuracy" and c.name == "piqa"]
    assert found.values[:, column].tolist() == [0.5]


def test_what_is_learnt_from_is_what_the_files_say(tmp_path: Path) -> None:
    runs = [made(f"org/m{i}", i) for i in range(6)]
    del runs[2]["results"][PIQA], runs[2]["configs"][PIQA]
    found = board_of(tmp_path, *runs)
    by_name = dict(zip(found.entries["entry"], found.entries["model"], strict=True))
    of_task = {o.task: o for o in observations(found)}
    assert set(of_task) == {"piqa", "boolq"} and of_task["piqa"].chance == 0.5
    for position, entry in enumerate(of_task["piqa"].entries):
        run = runs[int(by_name[entry][-1])]
        told = run["results"].get(PIQA, {})
        assert of_task["piqa"].accuracy[position] == pytest.approx(told.get("acc,none", np.nan), nan_ok=True)
        assert of_task["piqa"].items[position] == pytest.approx(1000 if told else np.nan, nan_ok=True)
        signals = of_task["piqa"].signals
        d = run["results"]["dispersion_wiki"]["dispersion,none"]
        last = next(s for s in signals.values() if s.label == "D wiki, last layer")
        assert last.values[position] == pytest.approx(d)
        size = next(s for s in signals.values() if s.kind == "size")
        assert size.values[position] == pytest.approx(np.log(run["config"]["model_num_parameters"]))
        (other,) = [s for s in signals.values() if s.kind == "benchmark"]
        assert other.values[position] == run["results"]["dispersion_boolq"]["acc,none"]


def test_a_group_stands_for_its_subtasks(tmp_path: Path) -> None:
    run = made("org/a")
    subjects = ("dispersion_piqa", "dispersion_boolq")
    run["results"]["both"] = {"alias": "both", "acc,none": 0.6, "acc_stderr,none": 0.01}
    run["group_subtasks"] = {"both": list(subjects)}
    run["versions"]["both"] = 1.0
    found = board_of(tmp_path, run)
    ranked = {found.columns[i].name for i in found.ranked}
    assert ranked == {"both"} and [o.task for o in observations(found)] == ["both"]
    assert {c.name for c in found.columns if c.kind == "accuracy" and c.in_group} == {"piqa", "boolq"}
