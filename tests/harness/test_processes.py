"""``accelerate launch`` with two processes: the numbers of one.

lm_eval starts its data parallelism only where it sees more than one GPU, so the launched script says there are two;
the processes, their gloo group and all that is gathered are real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CliHere, results, samples
from stock import EVERY, recorded, write_tasks

# Zero-shot ones: lm_eval draws few-shot examples in the order of a process's own documents.
NAMES = ("stock_rolling", "stock_long", "stock_last_word", "stock_contexts", "stock_generate")
# Tasks with signals beside D by default: of answers, of prompts.
SIGNALLED = ("recorded_contexts", "recorded_last_word")
LAUNCHED = """
import torch
torch.cuda.device_count = lambda: 2
from lm_eval.__main__ import cli_evaluate
cli_evaluate()
"""


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(cli_here: CliHere, tiny_llama: Path, tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks", {name: EVERY[name] for name in NAMES})
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)

    def arguments(name: str, batch_size: int) -> list[str]:
        return [
            *("run", "--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama},dtype=float32"),
            *("--tasks", ",".join(map(recorded, NAMES)), "--include_path", str(tasks), "--limit", "7"),
            *("--batch_size", str(batch_size), "--output_path", str(tmp_path / name), "--log_samples"),
        ]

    cli_here(*arguments("one", 3))
    # `--multi_gpu` is what starts two processes; ACCELERATE_USE_CPU makes them a gloo group on the CPU.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", "0", str(script)]
    done = subprocess.run(
        [*launch, *arguments("two", 2)], capture_output=True, text=True, env=os.environ | {"ACCELERATE_USE_CPU": "true"}
    )
    assert done.returncode == 0, done.stderr[-4000:]

    one, two = results(tmp_path / "one"), results(tmp_path / "two")
    for name in map(recorded, NAMES):
        for key, value in one["results"][name].items():
            if key == "perplexity_stderr,none":
                continue  # lm_eval bootstraps this one, over documents in the order of the processes
            expected = value if isinstance(value, str) else pytest.approx(value, abs=1e-5, rel=1e-5)
            assert two["results"][name][key] == expected, (name, key)
        a, b = (r["configs"][name]["metadata"]["dispersion"] for r in (one, two))
        assert b["engine"]["processes"] == 2 and a["engine"]["processes"] == 1
        assert b["counts"] == a["counts"] and b["corpus"] == a["corpus"]
        if b["definition"]["kind"] == "prompts":
            assert "several processes" in b["slices"]["undefined"]
        for part, keys in (("within", ("mean", "stderr")), ("across", ("dispersion", "stderr"))):
            for key in keys:
                np.testing.assert_allclose(b[part][key], a[part][key], atol=1e-5)
        assert b["signals"].keys() == a["signals"].keys() and bool(a["signals"]) == (name in SIGNALLED)
        for signal, one_ in a["signals"].items():
            two_ = b["signals"][signal]
            assert two_["n"] == one_["n"] == 7 and two_.keys() == one_.keys()
            for key in one_.keys() - {"n", "layers"}:
                np.testing.assert_allclose(two_[key], one_[key], atol=1e-5)
        mine, theirs = samples(tmp_path / "one", name), samples(tmp_path / "two", name)
        assert [s["doc_id"] for s in mine] == [s["doc_id"] for s in theirs]
        for s, t in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(t["dispersion"]["layers"], s["dispersion"]["layers"], atol=1e-5)
