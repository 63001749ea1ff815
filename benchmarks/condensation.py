"""(d) Recording against the PyPI package ``embedding-condensation``, on the same texts.

The package pins transformers below 4.48, so it gets an environment of its own under ``.cache``. It is under a
non-commercial licence: this file installs and calls it, and holds none of it. It measures cosines at all layers
and no perplexity; recording gives D at all layers and lm_eval's own answers in that time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks import _workload
from benchmarks._measure import MIB, Figure, Worker, alternate, fresh, median, written
from benchmarks.recording import Setup, command

PACKAGE = "embedding-condensation==2.0"
_SAME = ("recording", "again")


class Unavailable(Exception):
    """Why the package cannot be run here, in one line."""


def environment() -> Path:
    """The Python of an environment that holds the package, made once.

    Raises:
        Unavailable: where it cannot be installed.
    """
    import torch

    folder = _workload.CACHE / "embedding-condensation"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "installed"
    if not done.is_file():
        print(f"(d) making an environment for {PACKAGE}", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        # The same torch on both sides, and first: a bare requirement may bring another build of several GB.
        _run(str(python), "-m", "pip", "install", f"torch=={torch.__version__.split('+')[0]}")
        _run(str(python), "-m", "pip", "install", PACKAGE)
        done.touch()
    return python


def _run(*words: str) -> None:
    result = subprocess.run(words, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"`{' '.join(words[1:])}` failed: {reason}")


def run(setup: Setup) -> tuple[list[Figure], list[str]]:
    """The figures and what else there is to say."""
    try:
        python = environment()
    except Unavailable as reason:
        return [], [f"(d) SKIPPED, nothing measured: {reason}"]
    _workload.windows(setup.windows)
    folder = str(_workload.model_folder())
    theirs = [str(python), "-m", "benchmarks._theirs", folder, str(setup.windows)]
    offline = {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(_workload.CACHE / "matplotlib")}
    env = {**os.environ, **offline}
    ours = command("recording", setup.windows)
    with Worker(ours) as mine, Worker(theirs, env) as other:
        samplers = {**dict.fromkeys(_SAME, mine.sample), "theirs": other.sample}
        times = alternate(samplers, setup.pairs, "(d) time")
    peaks = alternate(
        {**dict.fromkeys(_SAME, fresh(ours)), "theirs": fresh(theirs, env)}, setup.memory_pairs, "(d) memory"
    )
    names, what = ("theirs", *_SAME), f"{PACKAGE.split('==')[0]} / recording"
    d = {name: times[name][0].found["within"][-1] for name in ("theirs", "recording")}
    growth = {name: median(peaks, name, "growth") / MIB for name in ("theirs", "recording")}
    return [
        setup.figure("d", what, times, names, "seconds"),
        setup.figure("d", what, peaks, names, "peak"),
    ], [
        f"(d) memory on top of the loaded model, {setup.windows} texts: the package {growth['theirs']:.0f} MiB, "
        f"recording {growth['recording']:.0f} MiB",
        f"(d) bytes written a text: the package {written(peaks, 'theirs', setup.windows)} (`plot=False`), "
        f"recording {written(peaks, 'recording', setup.windows)}",
        f"(d) D of the last state: the package {d['theirs']:.4f} (no prefix, first position counts), "
        f"recording {d['recording']:.4f}",
    ]
