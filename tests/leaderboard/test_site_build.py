"""What a build leaves behind: the same bytes for the same records, nothing hostile, nothing secret, nothing lost."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import typed
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from pages import chromium, ready, rows
from playwright.sync_api import sync_playwright

from benchmarks import _board_files

HOSTILE = (
    '"><script>window.pwned=1</script>', "<img src=x onerror=window.pwned=1>", "../../etc/passwd", "\u202egnp.exe",
    "m" * 300, "=HYPERLINK(1)", "模型-é-🤖", "{{ 7*7 }}${7*7}", "a'b\"c`d",
)  # fmt: skip


def add(folder: Path, name: str, number: int, **changed: Any) -> Path:
    """A results file of one model on twelve tasks."""
    rng = np.random.default_rng(number)
    run = _board_files.one(
        name, number % 5, 10 ** (8 + number % 4 / 2), 0.5 * (number % 7) - 1, rng, date=1.7e9 + number
    )
    file = folder / f"model-{number:03d}" / "results_2026-01-01T00-00-00.000000.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**run, **changed}), encoding="utf-8")
    return file


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for number in range(12):
        add(folder, f"org/f{number % 5:02d}-model-{number}", number)
    return folder


def make(results: Path, out: Path) -> dict[str, str]:
    """Builds, and gives the digest of every file."""
    build([str(results)], out, read_conventions())
    files = (f for f in out.rglob("*") if f.is_file())
    return {f.relative_to(out).as_posix(): sha256(f.read_bytes()).hexdigest() for f in files}


def test_the_same_records_give_the_same_bytes_built_at_once_or_step_by_step(results: Path, tmp_path: Path) -> None:
    first = make(results, tmp_path / "a")
    assert make(results, tmp_path / "a") == first
    add(results, "org/f01-new", 20)
    file = add(results, "org/f02-again", 21)
    make(results, tmp_path / "a")
    later = json.loads(file.read_text())
    later["date"] += 1000
    later["results"]["dispersion_piqa"]["acc,none"] = 0.625
    (file.parent / "results_2026-02-01T00-00-00.000000.json").write_text(json.dumps(later))
    stepwise = make(results, tmp_path / "a")
    assert stepwise == make(results, tmp_path / "b")
    assert stepwise != first


def test_the_changelog_says_added_rescored_and_removed_and_forgets_nothing(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    make(results, out)
    before = json.loads((out / "data/changelog.json").read_text())
    assert Counter(e["what"] for e in before) == {"added": 12}
    run = json.loads((results / "model-003/results_2026-01-01T00-00-00.000000.json").read_text())
    run["date"] += 5000
    (results / "model-003/results_2026-03-01T00-00-00.000000.json").write_text(json.dumps(run))
    shutil.rmtree(results / "model-004")
    (results / "model-005/results_2026-01-01T00-00-00.000000.json").write_text("{")
    make(results, out)
    after = json.loads((out / "data/changelog.json").read_text())
    assert [e for e in after if e in before] == [e for e in after if e["what"] == "added"] and len(after) == 15
    assert [(e["model"], e["why"]) for e in after if e["what"] == "rescored"] == [("org/f03-model-3", "a newer run")]
    why = {e["model"]: e["why"] for e in after if e["what"] == "removed"}
    assert why["org/f04-model-4"] == "its results file is no longer there"
    assert "cannot be read" in why["org/f00-model-5"]
    assert not list(out.glob("models/*/org-f04-model-4-*.html"))
    assert "org/f04-model-4" in (out / "changelog.html").read_text()
    assert "model-005" in (out / "index.html").read_text()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate(HOSTILE):
        add(folder / "results", name, number)
    build([str(folder / "results")], folder / "site", read_conventions())
    return folder / "site"


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser.new_page()
        browser.close()


def test_hostile_names_are_shown_and_not_run(hostile: Path, page: Any) -> None:
    pages = ["index.html", "changelog.html", *(p.relative_to(hostile).as_posix() for p in hostile.glob("tasks/*.html"))]
    for path in [*pages[:4], *(p.relative_to(hostile).as_posix() for p in hostile.glob("models/*/*.html"))]:
        page.goto(f"file://{hostile / path}")
        page.wait_for_timeout(50)
        assert page.evaluate("window.pwned") is None, path
    page.goto(f"file://{hostile}/index.html")
    ready(page)
    shown = {row[1] for row in rows(page)}
    assert {name.replace("\u202e", "‹U+202E›") for name in HOSTILE if not name.startswith("..")} <= shown
    keys = page.eval_on_selector_all("[data-compare]", "bs => bs.map(b => b.dataset.compare)")
    page.goto(f"file://{hostile}/compare.html#compare={','.join(keys[:4])}")
    page.reload()
    page.wait_for_selector("#profiles svg")
    assert page.evaluate("window.pwned") is None


def test_no_name_makes_a_path(hostile: Path) -> None:
    assert {p.name for p in hostile.parent.iterdir()} == {"results", "site", ".site-cache"}
    assert all(re.fullmatch(r"[a-z0-9-]+\.html", p.name) and len(p.name) < 90 for p in hostile.glob("models/*/*"))
    assert len(list(hostile.glob("models/*/*.html"))) == len(HOSTILE)


def test_nothing_secret_is_in_any_file(results: Path, tmp_path: Path) -> None:
    secrets = ("hf_abcdefghijklmnopqrstuvwxyz123456", "/home/alice", "sk-abcdefghijklmnop1234", "__alice__")
    run = json.loads((results / "model-001/results_2026-01-01T00-00-00.000000.json").read_text())
    run["config"]["model_args"] = {"pretrained": "/home/alice/models/x", "token": secrets[0], "api_key": secrets[2]}
    run["config"]["model_sha"] = ""
    run["model_name"] = "/home/alice/models/x"
    run["pretty_env_info"] = "cwd /home/alice"
    for config in run["configs"].values():
        config["metadata"]["token"], config["metadata"]["config_source"] = secrets[0], "/home/alice/t.yaml"
    place = results / "__home__alice__models__x"
    place.mkdir()
    (place / "results_2026-04-01T00-00-00.000000.json").write_text(json.dumps(run))
    make(results, tmp_path / "site")
    found = {
        f.name
        for f in (tmp_path / "site").rglob("*")
        if f.is_file() and any(s.encode() in f.read_bytes() for s in secrets)
    }
    assert found == set()
    assert list((tmp_path / "site").glob("models/*/x-*.html"))


def test_a_folder_of_somebody_else_is_left_alone(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for out in ("mine", "mine/thesis.txt"):
        done = typed("build", "--results", str(results), "--out", out)
        assert done.returncode == 1 and done.stderr.startswith("leaderboard: mine") and done.stderr.count("\n") == 1
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_a_build_that_was_interrupted_is_repaired_by_the_next(results: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import dispersion_leaderboard.site._build as module

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_tasks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(results, tmp_path / "a")
    assert make(results, tmp_path / "a") == make(results, tmp_path / "b")


def test_too_few_models_are_said_to_be_too_few(tmp_path: Path) -> None:
    for number in range(3):
        add(tmp_path / "results", f"org/f0{number}-x", number)
    make(tmp_path / "results", tmp_path / "site")
    overview = (tmp_path / "site" / "index.html").read_text()
    assert overview.count("Not enough models: 3 models") == 9
    assert "Not enough models" in (tmp_path / "site" / "tasks" / "piqa.html").read_text()
    assert '<h2 id="validation">' not in (tmp_path / "site" / "tasks" / "piqa.html").read_text()
