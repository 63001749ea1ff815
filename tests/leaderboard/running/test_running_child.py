"""A command with limits, what it gets of the environment, and what is shown of what it printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from dispersion_leaderboard.requests import Request
from dispersion_leaderboard.running import Engine, Limits, Unit, _child
from dispersion_leaderboard.running._child import Ended
from dispersion_leaderboard.running._run import command, environment
from dispersion_leaderboard.running._scrub import scrubbed

# A child of its own that does not listen to SIGTERM, and one that has left the group; both hold the output open.
TREE = """
import os, pathlib, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
first = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
first.stdout.readline()
apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
beside = pathlib.Path("pids.part")
beside.write_text(f"{os.getpid()} {first.pid} {apart.pid}")
beside.rename("pids")
"""
SLEEP = "time.sleep(600)\n"
ALLOCATE = "held = b'x' * (300 * 2**20)\n"
UNIT = Unit(Request("org/model", "0" * 40, "made@01234567", precision="bfloat16"), ("task_a", "task_b"))


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_child, "_GRACE", 2.0)


def run(folder: Path, code: str, stop: threading.Event | None = None, **limits: float) -> Ended:
    return _child.run(
        [sys.executable, "-c", code],
        cwd=folder,
        environment=os.environ,
        limits=replace(Limits(seconds=120), **limits),
        folder=folder,
        stop=stop or threading.Event(),
    )


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def left(folder: Path) -> list[int]:
    found = pids(folder)
    assert len(found) == 3
    return [pid for pid in found if alive(pid)]


def test_the_time_limit_ends_all_that_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> float:
        """The time is up once all three are there, however slow the machine is."""
        return 1000.0 if (tmp_path / "pids").exists() else 0.0

    monkeypatch.setattr(_child, "time", SimpleNamespace(monotonic=now))
    ended = run(tmp_path, TREE + SLEEP, seconds=500)
    assert ended.by == "timeout"
    assert left(tmp_path) == []


def test_the_time_limit_is_real_time(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert run(tmp_path, "import time\n" + SLEEP, seconds=1).by == "timeout"
    assert 1 <= time.monotonic() - begun < 30


@pytest.mark.parametrize(
    "code",
    [
        TREE + ALLOCATE + SLEEP,
        TREE + f"subprocess.run([sys.executable, '-c', {'import time;' + ALLOCATE + SLEEP!r}])",
    ],
    ids=["its own", "a grandchild's"],
)
def test_the_memory_limit_counts_all_that_was_started_and_ends_it(tmp_path: Path, code: str) -> None:
    ended = run(tmp_path, code, memory=100 * 2**20)
    assert ended.by == "memory"
    assert left(tmp_path) == []


def test_what_takes_less_memory_than_the_limit_runs_to_its_end(tmp_path: Path) -> None:
    ended = run(tmp_path, "import time\n" + ALLOCATE + "time.sleep(1)\nprint('done')", memory=500 * 2**20)
    assert (ended.by, ended.code, ended.output) == ("itself", 0, "done\n")


def test_the_disk_limit_counts_what_is_written_and_ends_all_that_was_started(tmp_path: Path) -> None:
    write = "os.mkdir('sub'); open('sub/file', 'wb').write(bytes(30 * 10**6))\n"
    ended = run(tmp_path, TREE + write + SLEEP, disk=10 * 10**6)
    assert ended.by == "disk"
    assert left(tmp_path) == []


def test_a_run_that_is_stopped_ends_with_all_that_was_started(tmp_path: Path) -> None:
    stop = threading.Event()
    watch = threading.Thread(target=lambda: (until((tmp_path / "pids").exists), stop.set()))
    watch.start()
    ended = run(tmp_path, TREE + SLEEP, stop)
    watch.join()
    assert ended.by == "stopped"
    assert left(tmp_path) == []


def test_what_a_run_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    ended = run(tmp_path, TREE + "time.sleep(1)\nprint('done')")
    assert (ended.by, ended.code) == ("itself", 0)
    assert "done" in ended.output
    assert left(tmp_path) == []


def test_nothing_is_left_of_a_run_whose_worker_is_killed(tmp_path: Path) -> None:
    worker = f"""
import os, sys, threading
from pathlib import Path
from dispersion_leaderboard.running import Limits, _child
here = Path({str(tmp_path)!r})
_child.run([sys.executable, "-c", {TREE + SLEEP!r}], cwd=here, environment=os.environ, limits=Limits(), folder=here,
           stop=threading.Event())
"""
    killed = subprocess.Popen([sys.executable, "-c", worker])
    until((tmp_path / "pids").exists)
    guard = psutil.Process(pids(tmp_path)[0]).ppid()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    until(lambda: left(tmp_path) == [])
    until(lambda: not alive(guard))


def test_of_a_long_output_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    code = "import sys\nprint('first')\nfor _ in range(50): sys.stdout.write('x' * 10**6)\nprint()\nprint('last')"
    output = run(tmp_path, code).output
    assert output.startswith("first\nxxx")
    assert output.endswith("xxx\nlast\n")
    assert "bytes left out]" in output
    assert len(output) < 10**6


def test_what_goes_to_standard_error_is_output_and_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    assert run(tmp_path, "import os\nos.write(2, b'a\\xffb')").output == "a�b"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_the_exit_status_is_told_and_the_signal_that_ended_it(tmp_path: Path, code: str, status: int) -> None:
    ended = run(tmp_path, code)
    assert (ended.code, ended.by) == (status, "itself")


def test_no_secret_of_the_worker_reaches_its_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "operator"
    home.mkdir()
    (home / "token").write_text("planted-in-a-file")
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "VLLM_API_KEY", "OPENAI_API_KEY")
    for name in names:
        monkeypatch.setenv(name, f"planted-{name}")
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setenv("HTTPS_PROXY", "http://anna:planted-password@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    code = (
        "import json, os\nfrom huggingface_hub import get_token\n"
        "print(json.dumps([dict(os.environ), get_token(), os.path.expanduser('~')]))"
    )
    made = environment(tmp_path / "scratch" / "hf", os.environ)
    ended = _child.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        environment=made,
        limits=Limits(seconds=120),
        folder=tmp_path,
        stop=threading.Event(),
    )
    seen, token, own_home = json.loads(ended.output.splitlines()[-1])
    assert "planted" not in ended.output
    assert token is None
    assert own_home == seen["HF_HOME"] == str(tmp_path / "scratch" / "hf")
    assert seen["CUDA_VISIBLE_DEVICES"] == "3"
    assert seen["HF_ENDPOINT"] == "http://127.0.0.1:1"
    assert seen["http_proxy"] == "http://127.0.0.1:9"
    assert Path(seen["TMPDIR"]).is_relative_to(tmp_path / "scratch")
    assert not {*names, "HF_TOKEN_PATH", "HTTPS_PROXY"} & seen.keys()


def test_lm_eval_is_given_the_operators_options_and_the_requests() -> None:
    engine = Engine("vllm", "tensor_parallel_size=4", "cuda:1", "auto")
    request = replace(UNIT.request, chat_template=True)
    unit = replace(UNIT, request=request, limit=5, include_path="/tasks", engine=engine)
    script, *words = command(unit, "pretrained=org/model,revision=abc", Path("/out"))
    assert Path(script).name == "lm_eval"
    assert words.pop() == "--apply_chat_template"
    assert dict(zip(words[::2], words[1::2], strict=True)) == {
        "--model": "vllm",
        "--model_args": "pretrained=org/model,revision=abc,dtype=bfloat16,tensor_parallel_size=4",
        "--tasks": "task_a,task_b",
        "--output_path": "/out",
        "--limit": "5",
        "--include_path": "/tasks",
        "--device": "cuda:1",
        "--batch_size": "auto",
    }


def test_without_options_lm_eval_makes_its_own_choices() -> None:
    words = command(UNIT, "pretrained=org/model", Path("/out"))[1:]
    assert words[::2] == ["--model", "--model_args", "--tasks", "--output_path"]


def test_model_arguments_that_trust_a_models_code_are_refused() -> None:
    with pytest.raises(SystemExit, match=r"^leaderboard: a model's code is never trusted"):
        command(replace(UNIT, engine=Engine(model_args="trust_remote_code=True")), "pretrained=a/b", Path("/out"))


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("token hf_abcdefghijklmnopqrstuvwx is bad", "token [redacted] is bad"),
        ("the given-secret-1 itself", "the [redacted] itself"),
        ('File "/home/anna/work/model.py", line 3', 'File "model.py", line 3'),
        ("\x1b[31mred\x1b[0m \x1b]8;;http://a.b\x07link\x1b]8;;\x07", "red link"),
        ("Loading:  10%|#  |\rLoading:  50%|## |\rLoading: 100%|###|\n", "Loading: 100%|###|"),
        ("windows\r\nlines\r\n", "windows\nlines"),
        ("a\u202eb\u200bc", "a‹U+202E›b‹U+200B›c"),
        ("\n\n  \nword\n\n", "word"),
        ("", ""),
    ],
)
def test_a_log_is_fit_to_be_shown(printed: str, shown: str) -> None:
    assert scrubbed(printed, secrets=["given-secret-1", ""]) == shown


def test_a_log_is_the_last_lines_and_no_more_than_may_be() -> None:
    many = "\n".join(f"line {number}" for number in range(1000))
    assert scrubbed(many, 3) == "line 997\nline 998\nline 999"
    assert scrubbed(many, 1000, 20) == "line 998\nline 999"
    assert len(scrubbed("x" * 10**6)) == 300
    assert len(scrubbed("\n".join(["y" * 500] * 100)).splitlines()) == 13
