"""What is put beside what, and who is told apart from whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dispersion_leaderboard.board import lay_out, observations, rank
from dispersion_leaderboard.records import read_conventions, read_records

from benchmarks import _board_files


def run(name: str, number: int = 0, **config: Any) -> dict[str, Any]:
    found = _board_files.one(name, number, 1e9, 0.2, np.random.default_rng(number), 1.7e9 + number)
    found["config"] |= config
    return found


def board(tmp_path: Path, *runs: dict[str, Any]) -> Any:
    for i, one in enumerate(runs):
        file = tmp_path / str(i) / "results_2026-01-01T00-00-00.000000.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(one))
    conventions = read_conventions()
    return lay_out(read_records([str(tmp_path)], conventions), conventions)


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_every_pair_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accuracy, stderr = rng.uniform(0.3, 0.9, (60, 3)), rng.uniform(0.005, 0.05, (60, 3))
    accuracy[rng.random((60, 3)) < 0.05] = np.nan
    chance = np.array([0.25, 0.5, 0.0])
    found = rank(accuracy, stderr, chance)
    score = ((accuracy - chance) / (1 - chance)).mean(1)
    error = np.sqrt(((stderr / (1 - chance)) ** 2).sum(1)) / 3
    whole = np.flatnonzero(np.isfinite(score))
    for i in range(60):
        if i not in whole:
            assert found.best[i] == found.worst[i] == found.group[i] == 0
            continue
        apart = [j for j in whole if abs(score[i] - score[j]) > 1.959964 * np.hypot(error[i], error[j])]
        better = sum(score[j] > score[i] for j in apart)
        assert found.best[i] == 1 + better
        assert found.worst[i] == len(whole) - (len(apart) - better)
    order = whole[np.argsort(-score[whole])]
    assert found.group[order[0]] == 1 and (np.diff(found.group[order]) >= 0).all()


def test_a_wrapped_task_and_lm_evals_own_are_one_column(tmp_path: Path) -> None:
    stock = run("org/b", 1)
    for part in ("results", "configs", "versions", "n-shot", "n-samples", "task_hashes"):
        stock[part] = {"piqa": stock[part]["dispersion_piqa"]}
    stock["configs"]["piqa"]["metadata"] = {"version": 1.0}
    stock["results"]["piqa"] = {"acc,none": 0.7, "acc_stderr,none": 0.01}
    found = board(tmp_path, run("org/a"), stock)
    (piqa,) = [i for i, c in enumerate(found.columns) if c.kind == "accuracy" and c.name == "piqa"]
    assert np.isfinite(found.values[:, piqa]).all() and found.columns[piqa].chance == 0.5


def test_the_boards_note_stands_beside_the_names_of_that_model_only(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("models: {org/a: {note: just measured}}")
    conventions = read_conventions(tmp_path / "o.yaml")
    board(tmp_path / "runs", run("org/a"), run("org/b", 1))
    found = lay_out(read_records([str(tmp_path / "runs")], conventions), conventions)
    assert sorted(found.entries["title"]) == ["org/a (just measured)", "org/b"]


@pytest.mark.parametrize("what", ["version", "shots", "limit", "text"])
def test_what_is_not_comparable_stands_apart(tmp_path: Path, what: str) -> None:
    other = run("org/b", 1)
    if what == "version":
        other["versions"]["dispersion_piqa"] = 2.0
    elif what == "shots":
        other["n-shot"]["dispersion_piqa"] = 5
    elif what == "limit":
        other["config"]["limit"] = 10
        other["n-samples"]["dispersion_piqa"]["effective"] = 10
    else:
        other["configs"]["dispersion_wiki"]["metadata"]["dispersion"]["corpus"]["hash"] = "f" * 64
    found = board(tmp_path, run("org/a"), other)
    kind, name = ("dispersion", "dispersion_wiki") if what == "text" else ("accuracy", "piqa")
    columns = [i for i, c in enumerate(found.columns) if c.kind == kind and c.name in (name, "wiki")]
    assert len(columns) == 2 and len({found.columns[i].key for i in columns}) == 2
    assert (np.isfinite(found.values[:, columns]).sum(1) == 1).all()


def test_incomplete_models_are_there_unranked_and_a_missing_error_is_that_of_a_share(tmp_path: Path) -> None:
    short, bare = run("org/b", 1), run("org/c", 2)
    for part in ("results", "configs"):
        del short[part]["dispersion_piqa"]
    bare["results"]["dispersion_boolq"]["acc_stderr,none"] = "N/A"
    found = board(tmp_path, run("org/a"), short, bare)
    by_name = {m: i for i, m in enumerate(found.entries["model"])}
    assert found.ranks.best[by_name["org/b"]] == 0 and found.ranks.best[by_name["org/a"]] > 0
    (boolq,) = [i for i, c in enumerate(found.columns) if c.kind == "accuracy" and c.name == "boolq"]
    share = bare["results"]["dispersion_boolq"]["acc,none"]
    assert found.stderr[by_name["org/c"], boolq] == pytest.approx(np.sqrt(share * (1 - share) / 999))


def test_configurations_of_one_model_are_rows_with_names_of_their_own(tmp_path: Path) -> None:
    found = board(tmp_path, run("org/a"), run("org/a", model="vllm"), run("org/a", model_dtype="torch.float32"))
    # The record's dtype is what ran; the engine tells two of the three apart, the third is the first again.
    assert sorted(found.entries["title"]) == ["org/a (engine hf)", "org/a (engine vllm)"]
    assert found.entries["path"].nunique() == 2


def test_profiles_of_any_depth_meet_on_one_grid(tmp_path: Path) -> None:
    found = board(tmp_path, *(run(f"org/{i}", i) for i in range(4)))
    name = found.columns[found.of_kind("dispersion")[0]].name
    signals = observations(found)[0].signals.values()
    signal = next(s for s in signals if s.label.endswith("best layer") and s.group == name)
    for entry, profile in zip(signal.values, found.profiles[found.of_kind("dispersion")[0]], strict=True):
        depths = np.linspace(0, 1, len(profile))
        assert entry == pytest.approx(np.interp(np.linspace(0, 1, 21), depths, profile))


def test_all_questions_right_is_not_taken_for_certainty(tmp_path: Path) -> None:
    runs = [run("org/a"), run("org/b", 1)]
    for found, right in zip(runs, (1.0, 0.975), strict=True):
        for part in ("results", "configs"):
            found[part] = {"dispersion_piqa": found[part]["dispersion_piqa"]}
        found["n-samples"]["dispersion_piqa"] = {"original": 40, "effective": 40}
        error = float(np.sqrt(right * (1 - right) / 39))
        found["results"]["dispersion_piqa"] |= {"acc,none": right, "acc_stderr,none": error}
    found = board(tmp_path, *runs)
    (piqa,) = found.ranked
    assert found.stderr[0, piqa] == 0
    share = 42 / 44
    assert found.ranks.stderr[0] == pytest.approx(2 * np.sqrt(share * (1 - share) / 44))
