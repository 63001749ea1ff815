"""The log: what the records say once, removals and returns, nothing twice, nothing ever taken out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from dispersion_leaderboard.site._changelog import changelog
from made import Run, made, records_of, save

Told = list[tuple[str, str, str]]


class Log:
    """A folder of results and the log of the builds made of it."""

    def __init__(self, folder: Path) -> None:
        self.results, self.file = folder / "results", folder / "changelog.json"

    def build(self) -> Told:
        events = changelog(records_of(self.results), self.file)
        before = json.loads(self.file.read_text()) if self.file.is_file() else []
        rest = iter(events)
        assert all(event in rest for event in before), "something was taken out or moved"
        self.file.write_text(json.dumps(events))
        assert changelog(records_of(self.results), self.file) == events, "a second build says something else"
        return [(e["what"], e["model"], e["why"]) for e in reversed(events)]

    def from_nothing(self) -> Told:
        return [(e["what"], e["model"], e["why"]) for e in reversed(changelog(records_of(self.results), Path("none")))]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def limited(run: Run) -> Run:
    run["config"]["limit"] = 10
    return run


def test_a_second_configuration_of_a_model_does_not_add_the_first_again(log: Log) -> None:
    save(log.results, "a", made("org/a", 0))
    log.build()
    save(log.results, "b", made("org/a", 1, model="vllm"))
    assert log.build() == [("added", "org/a", ""), ("added", "org/a", "")] == log.from_nothing()


def test_every_rescoring_says_why_the_run_before_it_was_replaced(log: Log) -> None:
    steps = [limited(made("org/a", 0)), made("org/a", 1), made("org/a", 2), limited(made("org/a", 3)), made("org/a", 4)]
    for i, run in enumerate(steps):
        save(log.results, f"r{i}", run)
        told = log.build()
    fuller, newer = "a run of every document replaces one with --limit", "a newer run"
    # The fourth, limited again, never was on the board.
    assert [what for what, _, _ in told] == ["added", "rescored", "rescored", "rescored"]
    assert [why for _, _, why in told] == ["", fuller, newer, newer]
    assert log.from_nothing() == told


def test_runs_with_limit_replace_each_other(log: Log) -> None:
    for i in range(2):
        save(log.results, f"r{i}", limited(made("org/a", i)))
        told = log.build()
    assert told == [("added", "org/a", ""), ("rescored", "org/a", "a newer run")] == log.from_nothing()


@pytest.mark.parametrize("broken", [False, True])
def test_a_file_that_goes_and_comes_back_is_told_of_each_time(log: Log, broken: bool) -> None:
    save(log.results, "a", made("org/a", 0))
    save(log.results, "b", made("org/b", 1))
    gone = (
        "its results file cannot be read: broken or truncated JSON" if broken else "its results file is no longer there"
    )
    told: Told = [("added", "org/a", ""), ("added", "org/b", "")]
    assert log.build() == told
    for _ in range(2):
        if broken:
            (log.results / "b" / "results_2026-01-01T00-00-00.000000.json").write_text("{")
        else:
            shutil.rmtree(log.results / "b")
        told.append(("removed", "org/b", gone))
        assert log.build() == told
        save(log.results, "b", made("org/b", 1))
        told.append(("added", "org/b", "its results file is there again"))
        assert log.build() == told


def test_a_rescoring_that_is_taken_back_is_a_removal(log: Log) -> None:
    save(log.results, "old", made("org/a", 0))
    save(log.results, "new", made("org/a", 1))
    save(log.results, "other", made("org/b", 0))
    log.build()
    shutil.rmtree(log.results / "new")
    assert log.build()[-1] == ("removed", "org/a", "its results file is no longer there")


def test_each_event_names_its_file_its_tasks_and_the_day_of_its_run(log: Log) -> None:
    save(log.results, "a", made("org/a", 0))
    save(log.results, "b", made("org/b", 86_400 * 3, tasks=("dispersion_wiki",)))
    log.build()
    newest, oldest = json.loads(log.file.read_text())
    assert (newest["source"], newest["tasks"]) == ("b/results_2026-01-01T00-00-00.000000.json", ["dispersion_wiki"])
    assert oldest["tasks"] == ["dispersion_boolq", "dispersion_piqa", "dispersion_wiki"]
    # 1.7e9 seconds after 1970 are in the evening of this day.
    assert (oldest["date"][:10], newest["date"][:10]) == ("2023-11-14", "2023-11-17")


def test_a_log_that_is_none_is_refused_in_one_line(log: Log) -> None:
    save(log.results, "a", made("org/a", 0))
    for text in ("[", "{}", '[{"what": 1}]', "[1]", "null"):
        log.file.write_text(text)
        with pytest.raises(SystemExit, match=r"^leaderboard: .*changelog.json is no changelog"):
            changelog(records_of(log.results), log.file)
