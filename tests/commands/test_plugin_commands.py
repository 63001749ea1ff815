"""The command line itself: help, mistakes, Ctrl-C, and how light it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lm_eval_dispersion.commands import main

SCRIPT = str(Path(sys.executable).with_name("lm-eval-dispersion"))
COMMANDS = ("show", "law", "screen", "doctor", "tasks")


def test_help_fits_a_screen_and_names_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 24
    assert all(f"│ {command} " in printed for command in COMMANDS)
    assert main([]) == 0
    assert capsys.readouterr().out == printed
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        assert len(capsys.readouterr().out.splitlines()) <= 24


def test_the_console_script_and_the_module_are_the_same() -> None:
    said = [
        subprocess.run(command, capture_output=True, text=True)
        for command in ([SCRIPT, "shwo"], [sys.executable, "-m", "lm_eval_dispersion", "shwo"])
    ]
    assert [done.returncode for done in said] == [2, 2]
    assert said[0].stdout == said[1].stdout == "" and said[0].stderr == said[1].stderr
    (line,) = said[0].stderr.splitlines()
    assert line.startswith("lm-eval-dispersion: No such command 'shwo'. Did you mean 'show'?")


def test_help_and_show_start_without_any_heavy_library() -> None:
    code = (
        "import sys\nfrom lm_eval_dispersion.commands import main\n"
        "assert main(['--help']) == 0 and main(['show', 'nowhere']) == 1\n"
        "print([m for m in ('torch', 'lm_eval', 'transformers', 'vllm', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == "lm-eval-dispersion: no file or folder nowhere\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["show"], "results"),
        (["law"], "output_path"),
        (["law", "out", "--pictures", "x"], "--pictures"),
        (["law", "out", "--picture"], "--picture"),
        (["screen"], "models"),
        (["doctor", "now"], "now"),
        (["tasks", "now"], "now"),
        (["--version"], "--version"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_exit_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == "" and line.startswith("lm-eval-dispersion: ") and named in line.lower()


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "results_1.json"  # a read that waits for ever
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [SCRIPT, "show", str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, which a CI's may be, hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while True:
        try:
            held = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # nobody reads it yet
            assert process.poll() is None
            time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    os.close(held)
    assert (process.returncode, printed, said) == (130, "", "lm-eval-dispersion: interrupted\n")
