"""Results on the Hub, as lm_eval's own upload lays them out, read by the real client from a loopback stand-in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SCRIPT, Done, hub_client, typed
from hub import Hub
from runs import Run, new_run

Records = Callable[..., Done]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    """``dispersion-leaderboard records``, with the Hub's client as an environment would make it."""

    def run(*sources: str, check: bool = True, **environment: str) -> Done:
        with monkeypatch.context() as patch:
            hub_client(patch, environment)
            done = typed("records", "--results", *sources)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


def named(model: str) -> Run:
    run = new_run()
    run["config"] |= {"model_args": f"pretrained={model}", "model_sha": "c" * 40}
    run["model_name"], run["model_name_sanitized"] = model, model.replace("/", "__")
    return run


def uploaded(*models: str) -> dict[str, bytes]:
    """What lm_eval's EvaluationTracker pushes: results by model name, and details beside them by sanitised name."""
    files = {"README.md": b"---\nconfigs: []\n---\n", "all/results.json": b"{}"}
    for model in models:
        name = "results_2026-11-25T07-12-06.256332.json"
        content = json.dumps(named(model)).encode()
        # The results repository: save_results_aggregated; the details repository: save_results_samples' folder.
        files[f"{model}/{name}"] = content
        files[f"{model.replace('/', '__')}/{name}"] = content
        files[f"{model.replace('/', '__')}/samples_capitals_2026-11-25T07-12-06.jsonl"] = b'{"doc_id": 0}\n'
    return files


def test_a_dataset_of_results(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/lm-eval-results", uploaded("org/a-7b", "other/b"))
    # The installed script, which finds the Hub by its environment alone.
    command = [SCRIPT, "records", "--results", "hf://datasets/org/lm-eval-results", "--out", str(tmp_path / "t.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | hub.environment(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "t.json").read_text())
    assert {row["model"] for row in rows} == {"org/a-7b", "other/b"} and len(rows) == 14
    # Newest wins, and of two copies the last by name.
    assert {row["source"] for row in rows} == {
        "org__a-7b/results_2026-11-25T07-12-06.256332.json", "other__b/results_2026-11-25T07-12-06.256332.json",
    }  # fmt: skip


def test_only_results_files_are_fetched(hub: Hub, records: Records, tmp_path: Path) -> None:
    hub.add("org/results", uploaded("org/a"))
    records("hf://datasets/org/results", **hub.environment(tmp_path))
    fetched = {path.name for path in (tmp_path / "hub").rglob("*") if path.is_symlink()}
    assert fetched == {"results_2026-11-25T07-12-06.256332.json"}


def test_a_dataset_and_a_folder(hub: Hub, records: Records, tmp_path: Path) -> None:
    hub.add("org/results", uploaded("org/a"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/results_1.json").write_text(json.dumps(named("me/b")))
    sources = ("hf://datasets/org/results", str(tmp_path / "mine"))
    records(*sources, "--out", str(tmp_path / "t.json"), **hub.environment(tmp_path))
    rows = json.loads((tmp_path / "t.json").read_text())
    assert {row["source"] for row in rows} == {
        "org results/org__a/results_2026-11-25T07-12-06.256332.json", "mine/results_1.json",
    }  # fmt: skip


def test_results_named_by_a_json_output_path_are_read_below_a_folder_by_that_path_and_from_the_hub(
    hub: Hub, records: Records, tmp_path: Path
) -> None:
    """lm_eval writes STEM_DATE.json for `--output_path STEM.json`."""
    (tmp_path / "out").mkdir()
    for stem, model in (("run1", "me/a"), ("run10", "me/b"), ("results", "me/c")):
        (tmp_path / f"out/{stem}_2026-11-25T07-12-06.256332.json").write_text(json.dumps(named(model)))
    (tmp_path / "out/settings.json").write_text("{}")
    hub.add("org/results", {f"x/{f.name}": f.read_bytes() for f in (tmp_path / "out").glob("*_2026*.json")})

    def models(*sources: str, **here: str) -> set[str]:
        done = records(*sources, "--out", str(tmp_path / "t.json"), **here)
        assert "skipped" not in done.stderr
        return {row["model"] for row in json.loads((tmp_path / "t.json").read_text())}

    assert models(str(tmp_path / "out")) == {"me/a", "me/b", "me/c"}
    assert models(str(tmp_path / "out/run1.json")) == {"me/a"}
    assert models(str(tmp_path / "out/run10_2026-11-25T07-12-06.256332.json")) == {"me/b"}
    assert models("hf://datasets/org/results", **hub.environment(tmp_path)) == {"me/a", "me/b", "me/c"}


def test_a_revision(hub: Hub, records: Records, tmp_path: Path) -> None:
    hub.add("org/results", uploaded("org/a"), revision="5" * 40)
    here = hub.environment(tmp_path)
    assert "org/a" in records(f"hf://datasets/org/results@{'5' * 40}", **here).stdout
    done = records("hf://datasets/org/results@elsewhere", check=False, **here)
    assert (done.returncode, done.stderr) == (1, "leaderboard: dataset org/results has no revision elsewhere\n")


def test_broken_files_are_named(hub: Hub, records: Records, tmp_path: Path) -> None:
    hub.add("org/results", uploaded("org/a") | {"x/results_1.json": b"{"})
    done = records("hf://datasets/org/results", **hub.environment(tmp_path))
    assert "skipped x/results_1.json: broken or truncated JSON\n" in done.stderr and "org/a" in done.stdout


def test_no_such_dataset(hub: Hub, records: Records, tmp_path: Path) -> None:
    done = records("hf://datasets/org/none", check=False, **hub.environment(tmp_path))
    assert done.returncode == 1
    assert done.stderr == ("leaderboard: no dataset org/none on the Hub, or no right to read it; try `hf auth login`\n")


@pytest.mark.parametrize("source", ["hf://datasets/", "hf://datasets/a/b/c", "hf://datasets/-x/ y"])
def test_no_name_of_a_dataset(hub: Hub, records: Records, tmp_path: Path, source: str) -> None:
    done = records(source, check=False, **hub.environment(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"leaderboard: {source} is not hf://datasets/OWNER/NAME[@REVISION]\n")


def test_a_dataset_without_results(hub: Hub, records: Records, tmp_path: Path) -> None:
    hub.add("org/other", {"README.md": b"x"})
    done = records("hf://datasets/org/other", check=False, **hub.environment(tmp_path))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    # Above it the client says what it looked for.
    assert done.stderr.endswith("\nleaderboard: no results_*.json of lm_eval below hf://datasets/org/other\n")


def test_no_network(records: Records, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nowhere = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = records("hf://datasets/org/results", check=False, **nowhere)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("leaderboard: cannot fetch hf://datasets/org/results: ")


def test_offline_with_nothing_cached(records: Records, tmp_path: Path) -> None:
    done = records("hf://datasets/org/results", check=False, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("leaderboard: cannot fetch hf://datasets/org/results: ")
