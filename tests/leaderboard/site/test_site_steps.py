"""A site that grew step by step is the one that is built at once, and nothing that cuts a build short spoils it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dispersion_leaderboard.site._build as building
import pytest
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from dispersion_leaderboard.site._changelog import FILE as CHANGELOG
from made import TASKS, digests, made, save, task_named

Change = Callable[[Path], object]


def make(results: Path, out: Path, overrides: Path | None = None) -> dict[str, str]:
    build([str(results)], out, read_conventions(overrides))
    return digests(out)


def at_once(results: Path, out: Path, log: Path, overrides: Path | None = None) -> dict[str, str]:
    """Built from nothing but the records and the log of what was before."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.parent / f".{out.name}-cache", ignore_errors=True)
    (out / CHANGELOG).parent.mkdir(parents=True)
    (out / ".dispersion-leaderboard").touch()
    shutil.copy(log, out / CHANGELOG)
    return make(results, out, overrides)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for i in range(4):
        run = made(f"org/m{i}", i)
        if i == 3:
            run["config"]["limit"] = 500
        save(tmp_path / "results", f"m{i}", run)
    return tmp_path / "results"


def rescored(results: Path) -> None:
    run = made("org/m1", 50)
    run["results"]["dispersion_piqa"]["acc,none"] = 0.625
    save(results, "m1", run, "2026-02-02")


def truncated(results: Path) -> None:
    file = save(results, "m1", made("org/m1", 50), "2026-02-02")
    file.write_text(file.read_text()[:1000])


STEPS: dict[str, Change] = {
    "a model": lambda r: save(r, "m4", made("org/m4", 4)),
    "another benchmark of one model": lambda r: save(
        r, "m0", task_named(made("org/m0", 60, TASKS[1:2]), "dispersion_piqa", "winogrande"), "2026-03-03"
    ),
    "a second configuration of one model": lambda r: save(r, "m2b", made("org/m2", 2, model="vllm")),
    "a newer run": rescored,
    "a run of every document in place of one with --limit": lambda r: save(r, "m3", made("org/m3", 70), "2026-04-04"),
    "a file that broke": truncated,
    "a model that is gone": lambda r: shutil.rmtree(r / "m0"),
    "nothing": lambda r: None,
}


def test_step_by_step_is_the_same_as_at_once(results: Path, tmp_path: Path) -> None:
    seen = make(results, tmp_path / "grown")
    for name, step in STEPS.items():
        step(results)
        shutil.copy(tmp_path / "grown" / CHANGELOG, tmp_path / "log.json")
        now = make(results, tmp_path / "grown")
        assert now == at_once(results, tmp_path / "new", tmp_path / "log.json"), name
        assert (now == seen) == (name == "nothing")
        seen = now
    # Another word on a model's family makes its page anew though no record has changed.
    (tmp_path / "o.yaml").write_text("families:\n  - {family: Ours, match: org/}\n")
    now = make(results, tmp_path / "grown", tmp_path / "o.yaml")
    assert now == at_once(results, tmp_path / "new", tmp_path / "grown" / CHANGELOG, tmp_path / "o.yaml") != seen
    assert all("<bdi>Ours</bdi>" in p.read_text() for p in (tmp_path / "grown").glob("models/*/*.html"))


def test_a_page_says_nothing_of_the_time_of_its_build(results: Path, tmp_path: Path) -> None:
    make(results, tmp_path / "site")
    now = {time.strftime(form, clock) for form in ("%Y-%m-%d", "%d %b") for clock in (time.gmtime(), time.localtime())}
    for file in (tmp_path / "site").rglob("*"):
        if file.suffix in (".html", ".md", ".json", ".js", ".svg") and "vendor" not in file.parts:
            assert not any(day in file.read_text() for day in now), file


def test_wherever_a_build_is_cut_short_every_file_is_whole_and_the_next_build_repairs(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "site"
    before = make(results, out)
    shutil.copy(out / CHANGELOG, tmp_path / "log.json")
    STEPS["a model"](results)
    STEPS["a newer run"](results)
    whole = at_once(results, tmp_path / "new", tmp_path / "log.json")

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def check() -> None:
        for path, digest in digests(out).items():
            assert digest in (before.get(path), whole.get(path)) or path.endswith(".new"), path

    half_written = 0
    # In what is remembered beside the folder, then in the folder.
    for after, within in ((0, tmp_path), (2, tmp_path), (5, tmp_path), (0, out), (1, out), (3, out), (5, out)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", _cut_after(after, within, Path.replace))
            with pytest.raises(KeyboardInterrupt):
                build([str(results)], out, read_conventions())
        check()
        half_written += any(out.rglob(".*.new"))
    assert half_written > 1
    for stage in ("changelog", "write_models", "write_overview", "write_tasks", "write_changelog", "javascript"):
        with monkeypatch.context() as patch:
            patch.setattr(building, stage, cut)
            with pytest.raises(KeyboardInterrupt):
                build([str(results)], out, read_conventions())
        check()
    assert make(results, out) == whole


def _cut_after(calls: int, within: Path, real: Any) -> Any:
    left = [calls]

    def replace(self: Path, target: Path) -> Any:
        left[0] -= Path(target).is_relative_to(within)
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(self, target)

    return replace


def test_a_build_that_was_cut_short_and_whose_cause_was_taken_back_leaves_no_page_behind(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "site"
    before = make(results, out)
    rescored(results)
    real, written = Path.replace, []

    def replace(self: Path, target: Path) -> Any:
        # Killed when the pages are written, and what vouches for them is not.
        if target.name == "pages.json" and written:
            raise KeyboardInterrupt
        written.extend([target] if target.suffix == ".html" else [])
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            build([str(results)], out, read_conventions())
    (results / "m1" / "results_2026-02-02T00-00-00.000000.json").unlink()
    assert make(results, out) == before


def test_nothing_is_written_where_the_mistake_is_the_users(results: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    make(results, site)
    before = digests(site)
    for file in results.rglob("*.json"):
        file.write_text("{")
    with pytest.raises(SystemExit, match=r"^leaderboard: ") as refused:
        make(results, site)
    assert "\n" not in str(refused.value) and digests(site) == before
    # A folder that another tool made, though it looks like a site.
    (tmp_path / "theirs" / "models").mkdir(parents=True)
    (tmp_path / "theirs" / "index.html").write_text("<p>mine")
    with pytest.raises(SystemExit, match=r"^leaderboard: .*theirs holds other things"):
        make(results, tmp_path / "theirs")
    assert [p.name for p in sorted((tmp_path / "theirs").rglob("*"))] == ["index.html", "models"]
