"""What a build leaves behind: the same bytes for the same records, nothing secret, nothing lost."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import typed
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from made import digests, made, save

from benchmarks import _board_files

EVERY_TASK = tuple(f"dispersion_{name}" for name in (*_board_files.CORPORA, *_board_files.BENCHMARKS))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for number in range(12):
        save(folder, f"model-{number:03d}", made(f"org/f{number % 5:02d}-model-{number}", number))
    return folder


def make(results: Path, out: Path) -> dict[str, str]:
    """Builds, and gives the digest of every file."""
    build([str(results)], out, read_conventions())
    return digests(out)


def test_the_same_records_give_the_same_bytes_built_at_once_or_step_by_step(results: Path, tmp_path: Path) -> None:
    first = make(results, tmp_path / "a")
    assert make(results, tmp_path / "a") == first
    save(results, "model-020", made("org/f01-new", 20))
    file = save(results, "model-021", made("org/f02-again", 21))
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
        save(tmp_path / "results", f"m{number}", made(f"org/f0{number}-x", number, EVERY_TASK))
    make(tmp_path / "results", tmp_path / "site")
    overview = (tmp_path / "site" / "index.html").read_text()
    assert overview.count("Not enough models: 3 models") == 9
    assert "Not enough models" in (tmp_path / "site" / "tasks" / "piqa.html").read_text()
    assert '<h2 id="validation">' not in (tmp_path / "site" / "tasks" / "piqa.html").read_text()
