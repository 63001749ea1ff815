"""Units on this machine, with the real lm_eval: at the same time, stopped, found again; and a model that means harm."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from dispersion_leaderboard.admission import inspect_folder
from dispersion_leaderboard.records import read_conventions, read_records
from dispersion_leaderboard.requests import Request
from dispersion_leaderboard.running import Engine, Limits, LocalExecutor, Outcome, Unit, _child, _run
from dispersion_leaderboard.running._run import evaluate
from hostile import auto_map, code, model_hub, pickled
from hub import WRITER, Hub, _handler

NAME = "org/model"
TASKS = ("dispersion_demo_wiki", "dispersion_demo_news")


@dataclass(frozen=True)
class Evaluated:
    unit: Unit
    outcome: Outcome
    scratch: Path
    marker: Path
    asked: list[tuple[str, str | None]]
    """What lm_eval has asked the Hub, and with which token."""
    files: set[str]
    """Of what it has asked for: the files of the model, and questions about it."""
    environments: list[dict[str, str]]


@pytest.fixture(scope="module")
def hostile(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """A model with code and a pickle beside good weights, evaluated once by an operator with a token."""
    folder = tmp_path_factory.mktemp("hostile")
    marker, model, scratch = folder / "marker", folder / "model", folder / "scratch"
    spoil(shutil.copytree(tiny_llama, model), marker)
    asked: list[tuple[str, str | None]] = []
    environments: list[dict[str, str]] = []
    before = 0
    with pytest.MonkeyPatch.context() as patch, model_hub(patch, folder / "operator") as hub:
        meet, run = _handler.Handler._meet, _child.run

        def met(self: Any, endpoint: str, function: Any, request: Any) -> None:
            asked.append((endpoint, request.token))
            meet(self, endpoint, function, request)

        def ran(*args: Any, **options: Any) -> Any:
            assert WRITER in {token for _, token in asked}
            asked.clear()
            nonlocal before
            before = len(hub.asked)
            environments.append(dict(options["environment"]))
            return run(*args, **options)

        patch.setattr(_handler.Handler, "_meet", met)
        patch.setattr(_child, "run", ran)
        hub.add_model(NAME, model)
        unit = Unit(wanted(hub), ("dispersion_demo_mmlu",), 1, engine=Engine(device="cpu"), limits=Limits(disk=10**8))
        # What a worker that was killed has left.
        half = scratch / "runs" / unit.request.key / f"{unit.group}.part"
        half.mkdir(parents=True)
        (half / "results_half.json").write_text("{")
        outcome = evaluate(unit, scratch, threading.Event())
        files = {what for key, _, what in hub.asked[before:] if key == f"models/{NAME}"}
    return Evaluated(unit, outcome, scratch, marker, asked, files, environments)


def spoil(model: Path, marker: Path) -> None:
    for file in ("config.json", "tokenizer_config.json"):
        told = json.loads((model / file).read_text())
        own = auto_map() | {"AutoTokenizer": ["modeling_evil.Evil", None]}
        (model / file).write_text(json.dumps(told | {"auto_map": own}))
    (model / "modeling_evil.py").write_bytes(code(marker))
    (model / "pytorch_model.bin").write_bytes(pickled(marker))


def wanted(hub: Hub) -> Request:
    return Request(NAME, hub.repositories[f"models/{NAME}"].head.oid, "made@01234567")


def units(model: Path) -> list[Unit]:
    """Long ones."""
    found = inspect_folder(model, largest=10**9)
    request = Request(model.name, found.sha, "made@01234567", folder=str(model))
    return [Unit(request, (task,), engine=Engine(device="cpu"), limits=Limits(disk=10**8)) for task in TASKS]


def running(scratch: Path, unit: Unit) -> list[psutil.Process]:
    """What writes the results of a unit, and what guards that."""
    place = str(scratch / "runs" / unit.request.key / f"{unit.group}.part")
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if place in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_model_that_means_harm_is_evaluated_and_runs_nothing(hostile: Evaluated) -> None:
    assert hostile.outcome.reason is None, hostile.outcome
    assert not hostile.marker.exists()
    names = {file.name for file in hostile.scratch.rglob("*")}
    assert "model.safetensors" in names
    assert not {"modeling_evil.py", "pytorch_model.bin"} & names


def test_lm_eval_runs_what_was_fetched_and_never_asks_for_its_code_or_its_pickle(hostile: Evaluated) -> None:
    (written,) = map(json.loads, hostile.outcome.files.values())
    revision = hostile.unit.request.revision
    assert (written["config"]["model_revision"], written["config"]["model_sha"]) == (revision, revision)
    assert written["model_name"] == NAME
    assert hostile.files and not any(name.endswith((".py", ".bin", ".safetensors")) for name in hostile.files)


def test_the_operators_token_is_in_nothing_that_lm_eval_sends_or_leaves(hostile: Evaluated) -> None:
    assert hostile.asked
    assert {token for _, token in hostile.asked} == {None}
    assert WRITER not in str(hostile.environments)
    assert WRITER not in hostile.outcome.log + hostile.outcome.detail
    files = [file for file in hostile.scratch.rglob("*") if file.is_file()]
    assert len(files) > 5
    assert [file for file in files if WRITER.encode() in file.read_bytes()] == []


def test_what_is_given_back_is_one_results_file_that_the_leaderboard_reads(hostile: Evaluated, tmp_path: Path) -> None:
    (path,) = hostile.outcome.files
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_bytes(hostile.outcome.files[path])
    table = read_records([str(tmp_path)], read_conventions()).table
    row = table[table["metric"] == "dispersion"].iloc[0]
    assert (row["task"], row["model"], row["revision"]) == ("dispersion_demo_mmlu", NAME, hostile.unit.request.revision)
    assert 0 < row["value"] < 2


def test_a_finished_run_is_found_again_and_not_run_again(hostile: Evaluated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_child, "run")
    monkeypatch.delattr(_run._download, "fetch")
    assert evaluate(hostile.unit, hostile.scratch, threading.Event()) == hostile.outcome
    folder = hostile.scratch / "runs" / hostile.unit.request.key
    assert [one.name for one in folder.iterdir()] == [hostile.unit.group]


def test_what_is_forgotten_is_gone_with_its_model(hostile: Evaluated, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    shutil.copytree(hostile.scratch, scratch, symlinks=True)
    other = scratch / "runs" / ("0" * 32)
    other.mkdir()
    LocalExecutor(scratch).forget(hostile.unit.request)
    assert list((scratch / "runs").iterdir()) == [other]
    assert not list(scratch.rglob("*.safetensors"))


def test_two_run_at_the_same_time_until_they_are_stopped_and_nothing_is_left(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = units(tiny_llama)
    executor = LocalExecutor(tmp_path, slots=2)
    try:
        executor.start(first)
        executor.start(second)
        until(lambda: len(running(tmp_path, first)) == len(running(tmp_path, second)) == 2)
        executor.stop(first)
        until(lambda: not running(tmp_path, first), 60)
        assert running(tmp_path, second)
        # At once again: it is another run, which the end of the one that was stopped does not touch.
        executor.start(first)
        until(lambda: running(tmp_path, first))
        assert executor.ended() == []
    finally:
        executor.close()
    assert not running(tmp_path, first)
    assert not running(tmp_path, second)
    assert executor.ended() == []
    assert not list(tmp_path.rglob("results_*"))


def test_a_run_that_is_stopped_and_wanted_again_is_told_of_once(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first run ends only after a while."""
    unit, _ = units(tiny_llama)
    outcomes = iter(["of the first", "of the second"])
    may_end = threading.Event()
    inside: list[int] = []

    def slow(unit: Unit, scratch: Path, stop: threading.Event) -> Outcome:
        inside.append(len(inside))
        may_end.wait(60)
        return Outcome(detail=next(outcomes))

    monkeypatch.setattr(_run, "evaluate", slow)
    executor = LocalExecutor(tmp_path)
    executor.start(unit)
    until(lambda: inside)
    executor.stop(unit)
    executor.start(unit)
    time.sleep(0.5)
    assert inside == [0]
    may_end.set()
    told: list[tuple[Unit, Outcome]] = []
    until(lambda: told.extend(executor.ended()) or told)
    executor.close()
    assert [outcome.detail for _, outcome in told] == ["of the second"]
    assert executor.ended() == []
