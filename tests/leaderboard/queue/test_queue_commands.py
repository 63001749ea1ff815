"""``submit``, ``status``, ``requeue``, ``cancel`` and ``work`` as typed: what is said, written and refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from dispersion_leaderboard.cli import main
from dispersion_leaderboard.requests import BadRequest, Entry, Queue, Reason, Request, Shard, State, read_suites
from dispersion_leaderboard.store import open_tree
from hostile import model_hub
from hub import Hub
from models import save_tiny_llama
from queue_made import NOW, request


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
    shipped = {file.stem for file in Path("tasks").rglob("*.yaml")}
    for suite in read_suites().values():
        for task in (task for group in suite.groups for task in group):
            assert task in shipped or f"_{task}" in shipped or any(name.startswith(task) for name in shipped), task


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
