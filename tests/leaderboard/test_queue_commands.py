"""``submit``, ``status``, ``requeue``, ``cancel`` and ``work`` as typed: what is said, written and refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dispersion_leaderboard.commands import main
from dispersion_leaderboard.requests import Queue, Reason, State
from dispersion_leaderboard.store import open_tree
from hostile import model_hub
from hub import Hub
from models import save_tiny_llama


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("models") / "tiny")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(list(arguments))
    return capsys.readouterr().out


def refused(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    line = str(stopped.value)
    assert line.startswith("leaderboard: ") and "\n" not in line
    return line


def test_a_model_is_asked_for_once_and_waits(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--queue", str(tmp_path / "queue"))
    first = said(capsys, "submit", str(model), *place, "--suite", "demo")
    key = first.split(": ")[1].strip()
    assert f"{key} is in the queue already: pending" in said(capsys, "submit", str(model), *place, "--suite", "demo")
    other = said(capsys, "submit", str(model), *place, "--suite", "demo", "--precision", "bfloat16")
    assert "already" not in other
    status = said(capsys, "status", *place)
    assert f"{key} " in status and "tiny (demo@" in status
    assert "pending, position 1 of 2" in status and status.splitlines()[-1] == "2 pending"
    assert len(list((tmp_path / "queue" / "requests").rglob("*.json"))) == 2


def test_cancelled_and_back_again(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--queue", str(tmp_path / "queue"))
    said(capsys, "submit", str(model), *place)
    assert said(capsys, "cancel", "tiny", *place).endswith(" tiny: cancelled\n")
    assert said(capsys, "status", *place).splitlines()[-1] == "1 cancelled"
    assert said(capsys, "requeue", "tiny", *place).endswith(" tiny: pending\n")
    assert "pending; " in said(capsys, "requeue", "tiny", *place)
    assert "no request nobody in the queue" in refused("cancel", "nobody", *place)


def test_a_dry_run_checks_and_writes_nothing(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "tiny: " in said(capsys, "submit", str(model), "--queue", str(tmp_path / "queue"), "--dry-run")
    assert not (tmp_path / "queue").exists()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with model_hub(monkeypatch, tmp_path / "home") as found:
        yield found


def test_a_hub_model_is_resolved_to_its_commit_and_one_that_is_refused_is_on_record(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = hub.add_model("org/good", model)
    gated = hub.add_model("org/gated", model, revision="b" * 40, gated="manual")
    place = ("--queue", "hf://datasets/org/requests")
    out = said(capsys, "submit", "org/good", "org/gated", *place, "--suite", "demo")
    assert "org/gated: rejected (gated): " in out
    entries = Queue(open_tree("hf://datasets/org/requests")).entries()
    assert {entry.model: (entry.state, entry.reason) for entry in entries.values()} == {
        "org/good": (State.PENDING, None),
        "org/gated": (State.REJECTED, Reason.GATED),
    }
    (key,) = [key for key, entry in entries.items() if entry.model == "org/good"]
    written = json.loads(hub.repositories["org/requests"].files[f"requests/{key[:2]}/{key}.json"])
    assert (written["revision"], written["model"]) == (good.head.oid, "org/good")
    before = len(hub.repositories["org/requests"].commits)
    again = said(capsys, "submit", "org/good", "org/gated", *place, "--suite", "demo")
    assert again.count("already") == 2 and len(hub.repositories["org/requests"].commits) == before
    assert gated.head.oid == "b" * 40


def test_one_that_is_not_there_is_said_and_the_others_are_asked_for(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add_model("org/good", model)
    with pytest.raises(SystemExit) as stopped:
        main(["submit", "org/nobody", "org/good", "--queue", "hf://datasets/org/requests"])
    assert stopped.value.code == 1
    assert "org/nobody: " in capsys.readouterr().out
    assert len(Queue(open_tree("hf://datasets/org/requests")).entries()) == 1


def test_what_the_user_got_wrong_is_one_line(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = str(tmp_path / "queue")
    assert "no suite other; there are demo, dispersion" in refused(
        "submit", "m/m", "--queue", queue, "--suite", "other"
    )
    assert "nothing to submit" in refused("submit", "--queue", queue)
    assert "no folder" in refused("status", "--queue", queue)
    assert "neither a folder nor hf://datasets/ORG/NAME" in refused("status", "--queue", "s3://x/y")
    assert "two places" in refused("work", "--once", "--queue", queue, "--store", queue)
    (tmp_path / "file").write_text("")
    assert "is a file" in refused("status", "--queue", str(tmp_path / "file"))
    work = ("work", "--once", "--queue", queue, "--store", str(tmp_path / "results"), "--scratch", str(tmp_path / "s"))
    assert "needs --flavor" in refused(*work, "--executor", "hf-jobs")
    assert "trust_remote_code" in refused(*work, "--model_args", "trust_remote_code=True")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    assert not (tmp_path / "queue" / "states").exists()


def test_a_worker_that_gets_sigterm_gives_back_what_it_runs_and_leaves_no_lm_eval(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--queue", str(tmp_path / "queue"))
    said(capsys, "submit", str(model), *place, "--suite", "demo")
    command = [str(Path(sys.executable).with_name("dispersion-leaderboard")), "work", *place, "--forever"]
    command += ["--store", str(tmp_path / "results"), "--scratch", str(tmp_path / "scratch"), "--device", "cpu"]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        found: list[psutil.Process] = []
        end = time.monotonic() + 120
        while not (found := [p for p in psutil.Process(worker.pid).children(recursive=True) if is_lm_eval(p)]):
            assert worker.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        assert "another worker uses" in refused("work", "--once", *place, *command[-6:-2])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
    assert not psutil.wait_procs(found, timeout=10)[1]
    (entry,) = Queue(open_tree(str(tmp_path / "queue"))).entries().values()
    assert (entry.state, entry.attempts) == (State.PENDING, 0)


def is_lm_eval(process: psutil.Process) -> bool:
    try:
        return any(part.endswith("/lm_eval") for part in process.cmdline()[:2])
    except psutil.Error:
        return False
