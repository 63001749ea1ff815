"""G of a checkpoint stands beside what was measured of that model, and beside nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from dispersion_leaderboard.records import SCREEN
from made import made, records_of, save, screened

COMMITS = ("a" * 40, "b" * 40)


def gaps(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    """By engine and revision of the entry, and task."""
    of_screen = table[table["kind"] == SCREEN]
    keys = zip(of_screen["engine"], of_screen["revision"], strict=True)
    return dict(zip(keys, of_screen["value"], strict=True))


def test_it_belongs_to_every_row_of_the_model_whatever_its_engine_and_dtype(tmp_path: Path) -> None:
    for i, model in enumerate(("hf", "vllm")):
        save(tmp_path, f"m{i}", made("org/a", i, model=model, model_sha=COMMITS[0]))
    save(tmp_path, "other", made("org/b", 2))
    save(tmp_path, "screen", screened("org/a", code=0.25, digits=0.5))
    found = records_of(tmp_path)
    assert not found.skipped and found.table["entry"].nunique() == 3
    mine = found.table[found.table["kind"] == SCREEN]
    assert set(mine["model"]) == {"org/a"} and len(mine) == 4 and mine["record"].nunique() == 4
    assert sorted(zip(mine["engine"], mine["corpus"], mine["value"], strict=True)) == [
        (engine, of, gap) for engine in ("hf", "vllm") for of, gap in (("code", 0.25), ("digits", 0.5))
    ]
    assert set(mine["command"]) == {"lm-eval-dispersion screen org/a"} and not mine["signal"].any()
    # What was measured reads as it did.
    rest = found.table[found.table["kind"] != SCREEN]
    for name in rest.select_dtypes("category"):
        rest = rest.assign(**{name: rest[name].astype(str)})
    (tmp_path / "screen" / "results_2026-01-01T00-00-00.000000.json").unlink()
    before = records_of(tmp_path).table
    before = before.astype(dict.fromkeys(before.select_dtypes("category"), str))
    pd.testing.assert_frame_equal(rest.reset_index(drop=True), before, check_dtype=False, check_categorical=False)


@pytest.mark.parametrize(
    ("revisions", "of_screen", "joined"),
    [
        (COMMITS, COMMITS[1], {COMMITS[1]}),
        (COMMITS, "", set()),
        (COMMITS[:1], "", {COMMITS[0]}),
        (COMMITS[:1], "main", {COMMITS[0]}),
        (COMMITS[:1], COMMITS[1], set()),
    ],
)
def test_of_several_revisions_it_belongs_to_its_own(
    tmp_path: Path, revisions: tuple[str, ...], of_screen: str, joined: set[str]
) -> None:
    for i, revision in enumerate(revisions):
        save(tmp_path, f"m{i}", made("org/a", i, model_sha=revision))
    run = screened("org/a", code=0.25)
    run["config"]["model_revision"] = of_screen
    save(tmp_path, "screen", run)
    found = records_of(tmp_path)
    assert {revision for _, revision in gaps(found.table)} == joined
    said = () if joined else (("screen/results_2026-01-01T00-00-00.000000.json", SAID),)
    assert found.skipped == said


SAID = "a screen of org/a, of which nothing else was measured"


def test_an_adapter_is_another_model_and_a_gguf_file_is_known_by_its_name(tmp_path: Path) -> None:
    adapted, file = made("org/a", 0), made("models", 1, model_sha="")
    adapted["config"]["model_args"] |= {"peft": "org/lora"}
    file["config"]["model_args"] |= {"gguf_file": "small.Q4_1.gguf"}
    for run, place in ((adapted, "a"), (file, "b"), (screened("org/a", code=0.1), "c")):
        save(tmp_path, place, run)
    save(tmp_path, "d", screened("models/small.Q4_1.gguf", code=0.2))
    found = records_of(tmp_path)
    mine = found.table[found.table["kind"] == SCREEN]
    assert set(mine["model"]) == {"small.Q4_1"} and mine["value"].tolist() == [0.2]
    assert found.skipped == (("c/results_2026-01-01T00-00-00.000000.json", SAID),)


def test_the_newer_screen_stands_for_every_row(tmp_path: Path) -> None:
    for i, model in enumerate(("hf", "vllm")):
        save(tmp_path, f"m{i}", made("org/a", i, model=model))
    save(tmp_path, "old", screened("org/a", 5, code=0.1))
    save(tmp_path, "new", screened("org/a", 9, code=0.2))
    found = records_of(tmp_path)
    assert sorted(gaps(found.table).values()) == [0.2, 0.2]
    assert (found.superseded["task"] == "screen_code").sum() == 2 and set(found.superseded["why"]) == {"a newer run"}


def test_screens_alone_are_no_board(tmp_path: Path) -> None:
    save(tmp_path, "screen", screened("org/a", code=0.1))
    with pytest.raises(
        SystemExit, match=r"^leaderboard: only screens below .*; a board needs results of lm_eval, too$"
    ):
        records_of(tmp_path)
