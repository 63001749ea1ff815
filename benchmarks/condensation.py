"""(d) Recording against the PyPI package ``embedding-condensation``, on the same texts.

The package pins transformers below 4.48, so it gets an environment of its own under ``.cache``. It is under a
non-commercial licence: this file installs and calls it, and holds none of it. It scores no
tokens, so there are two figures: against it alone, and against it after the lm_eval run it leaves to be done.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import _workload
from benchmarks._measure import MIB, Figure, Worker, alternate, fresh, median, written
from benchmarks._setup import Setup, command
from benchmarks.recording import recording, stock

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


def run(setup: Setup) -> Iterator[Figure | str]:
    """The figures, and what else there is to say."""
    try:
        python = environment()
    except Unavailable as reason:
        yield f"(d) SKIPPED, nothing measured: {reason}"
        return
    _workload.windows(setup.windows)
    model, count, name = str(_workload.model_folder()), setup.windows, PACKAGE.split("==")[0]
    theirs = [str(python), "-m", "benchmarks._theirs", model, str(count)]
    offline = {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(_workload.CACHE / "matplotlib")}
    env = {**os.environ, **offline}
    ours = command(recording, count)
    with Worker(ours) as mine, Worker(command(stock, count)) as plain, Worker(theirs, env) as other:
        samplers = {**dict.fromkeys(_SAME, mine.sample), "stock": plain.sample, "package": other.sample}
        times = alternate(samplers, setup.pairs, "(d) time")
    yield setup.figure("d", f"{name} / recording", times, ("package", *_SAME), "seconds")
    pairs = zip(times["stock"], times["package"], strict=True)
    times["both"] = [replace(alone, seconds=plain.seconds + alone.seconds) for plain, alone in pairs]
    yield setup.figure("d", f"plain lm_eval, then {name} / recording", times, ("both", *_SAME), "seconds")
    d = {key: times[key][0].found["within"][-1] for key in ("package", "recording")}
    yield (
        f"(d) D of the last state: the package {d['package']:.4f} (no prefix, first position counts), "
        f"recording {d['recording']:.4f}"
    )
    variants = {**dict.fromkeys(_SAME, fresh(ours)), "package": fresh(theirs, env)}
    peaks = alternate(variants, setup.memory_pairs, "(d) memory")
    yield setup.figure("d", f"{name} / recording", peaks, ("package", *_SAME), "peak")
    growth = {key: median(peaks, key, "growth") / MIB for key in ("package", "recording")}
    yield (
        f"(d) memory on top of the loaded model, {count} texts: the package {growth['package']:.0f} MiB, "
        f"recording {growth['recording']:.0f} MiB"
    )
    yield (
        f"(d) bytes written a text: the package {written(peaks, 'package', count)} (without its plot), "
        f"recording {written(peaks, 'recording', count)}"
    )
