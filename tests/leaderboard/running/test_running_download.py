"""What is fetched of a model before a run, and that it is no more."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispersion_leaderboard.admission import Refused, inspect_folder
from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running import Limits, _download
from dispersion_leaderboard.running._download import fetch, forget
from hostile import cases, code, harmless, model_hub, pickled
from hub import WRITER, Fault, Hub

NAME = "org/model"
SUITE = "demo@00000000"
SMALL = Limits(download=10**6, disk=10**6)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with model_hub(monkeypatch, tmp_path / "home") as hub:
        yield hub


def request(hub: Hub, **changes: str) -> Request:
    return Request(NAME, hub.repositories[f"models/{NAME}"].head.oid, SUITE, **changes)


def held(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refused(wanted: Request, scratch: Path, limits: Limits = SMALL) -> Refused:
    with pytest.raises(Refused) as caught:
        fetch(wanted, scratch, limits)
    assert "\n" not in caught.value.detail
    return caught.value


def test_exactly_the_admitted_files_are_fetched_and_forgotten_and_no_token_is_kept(hub: Hub, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    unwanted = {"pytorch_model.bin": pickled(marker), "evil.py": code(marker), "README.md": b"#", "sub/a.json": b"{}"}
    hub.add_model(NAME, harmless() | unwanted)
    wanted = request(hub)
    made = fetch(wanted, tmp_path / "scratch", SMALL)
    assert made.model_args == f"pretrained={NAME},revision={wanted.revision}"
    assert made.hf_home == tmp_path / "scratch" / "hf"
    there = held(made.hf_home)
    snapshot = f"hub/models--org--model/snapshots/{wanted.revision}/"
    assert {path.removeprefix(snapshot): there[path] for path in there if path.startswith(snapshot)} == harmless()
    assert not any(WRITER.encode() in content for content in there.values())
    asked = {what for _, _, what in hub.asked}
    assert asked & (harmless() | unwanted).keys() == harmless().keys()
    before = len(hub.asked)
    assert fetch(wanted, tmp_path / "scratch", SMALL) == made
    assert {what for _, _, what in hub.asked[before:]} & harmless().keys() <= {"config.json"}
    forget(tmp_path / "scratch", wanted)
    assert not list(made.hf_home.rglob("*.safetensors"))
    assert not marker.exists()


@pytest.mark.parametrize("what", ["pickle only, pytorch_model.bin", "gated", "its own code", "too large"])
def test_a_request_that_was_written_by_hand_is_refused_before_anything_is_fetched(
    hub: Hub, tmp_path: Path, what: str
) -> None:
    case = cases(tmp_path / "marker")[what]
    hub.add_model(NAME, case.files, **case.told)
    found = refused(request(hub), tmp_path / "scratch")
    assert found.reason is case.reason
    assert held(tmp_path / "scratch") == {}
    assert not {what for _, _, what in hub.asked} & (case.files.keys() - {"config.json"})


def test_a_model_that_sends_more_than_the_hub_tells_is_stopped(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "_TICK", 0.001)
    hub.add_model(NAME, harmless(model__safetensors=bytes(100 * 10**6)), lies={"model.safetensors": 1000})
    found = refused(request(hub), tmp_path / "scratch")
    assert found.reason is Reason.TOO_LARGE
    assert found.detail.startswith("more than")
    assert not any(len(content) > 1000 for content in held(tmp_path / "scratch").values())


def test_a_model_that_sends_a_little_more_or_less_than_the_hub_tells_is_refused(hub: Hub, tmp_path: Path) -> None:
    for told in (9, 11):
        hub.add_model(NAME, harmless(), lies={"model.safetensors": told})
        found = refused(request(hub), tmp_path / "scratch")
        assert found.reason is Reason.TOO_LARGE
        assert "instead of" in found.detail
        assert not list((tmp_path / "scratch").rglob("*.safetensors"))


def test_a_download_that_hangs_is_given_up_and_its_process_ends(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "STALLED", 2.0)
    started: list[subprocess.Popen[str]] = []
    start = subprocess.Popen

    def remember(*args: object, **options: object) -> subprocess.Popen[str]:
        started.append(start(*args, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)
    hub.add_model(NAME, harmless())
    over = threading.Event()
    # The configuration is asked for first, by the inspection.
    hub.before("resolve", lambda: hub.chaos.append((1.0, Fault("resolve", action=lambda: over.wait(60)))))
    begun = time.monotonic()
    found = refused(request(hub), tmp_path / "scratch")
    over.set()
    assert found.reason is Reason.INFRASTRUCTURE
    assert "did not come" in found.detail
    assert time.monotonic() - begun < 30
    assert [child.returncode for child in started] == [-9]


def test_trouble_with_the_network_is_the_infrastructures(hub: Hub, tmp_path: Path) -> None:
    hub.add_model(NAME, harmless())
    wanted = request(hub)
    hub.fail("info", 503)
    assert refused(wanted, tmp_path / "scratch").reason is Reason.INFRASTRUCTURE
    hub.before("resolve", lambda: hub.fail("tree", 403))
    found = refused(wanted, tmp_path / "scratch")
    assert found.reason is Reason.INFRASTRUCTURE
    assert "cannot fetch" in found.detail
    fetch(wanted, tmp_path / "scratch", SMALL)


def test_a_disk_that_would_be_too_full_is_the_infrastructures_and_nothing_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.add_model(NAME, harmless())
    free = shutil.disk_usage(tmp_path).free
    found = refused(request(hub), tmp_path / "scratch", Limits(download=10**6, disk=2 * free))
    assert (found.reason, "no room" in found.detail) == (Reason.INFRASTRUCTURE, True)
    assert held(tmp_path / "scratch") == {}


def test_the_download_ends_with_the_process_that_watches_it(hub: Hub, tmp_path: Path) -> None:
    hub.add_model(NAME, harmless())
    over = threading.Event()
    hub.chaos.append((1.0, Fault("resolve", action=lambda: over.wait(60))))
    asked = {"model": NAME, "sha": request(hub).revision, "files": ["config.json"], "cache": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-m", "dispersion_leaderboard.running.download_entry", json.dumps(asked)],
        stdin=subprocess.PIPE,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(3)
    assert child.stdin
    child.stdin.close()
    assert child.wait(60) == 1
    over.set()


def test_a_folder_is_run_where_it_lies_unless_it_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in harmless().items():
        (folder / name).write_bytes(content)
    found = inspect_folder(folder, largest=10**6)
    wanted = Request("mine", found.sha, SUITE, folder=str(folder))
    made = fetch(wanted, tmp_path / "scratch", SMALL)
    assert (made.model_args, made.cwd) == ("pretrained=mine", tmp_path)
    other = Request("other", found.sha, SUITE, folder=str(folder))
    assert refused(other, tmp_path / "scratch").reason is Reason.NOT_FOUND
    forget(tmp_path / "scratch", wanted)
    assert (folder / "config.json").exists()
    (folder / "tokenizer.json").write_text("[]")
    changed = refused(wanted, tmp_path / "scratch")
    assert changed.reason is Reason.NOT_FOUND
    assert "has changed since it was submitted" in changed.detail


def test_a_download_that_is_stopped_ends_soon(hub: Hub, tmp_path: Path) -> None:
    hub.add_model(NAME, harmless())
    stop = threading.Event()
    stop.set()
    with pytest.raises(Refused, match="was stopped") as caught:
        fetch(request(hub), tmp_path / "scratch", SMALL, stop)
    assert caught.value.reason is Reason.INFRASTRUCTURE
