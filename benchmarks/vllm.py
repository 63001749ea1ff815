"""(e) Recording on ``--model vllm`` against the same engine without.

Two engines in processes of their own, compiled as vLLM does by default: one as it comes, which shows the last hidden
state, and one that shows all layers. Both stay loaded; one works at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec

from tqdm import tqdm

from benchmarks import _workload
from benchmarks._measure import Figure, Rounds, Sampler, Worker, alternate, apart, median, ratio
from benchmarks._setup import Setup

# By name: whether the engine shows all layers, and whether they are recorded.
VARIANTS = {"none": (False, False), "again": (False, False), "last": (False, True), "shown": (True, False),
            "all": (True, True)}  # fmt: skip
COMPARED = (
    ("last", "none", "recording the last state / plain lm_eval, the same engine", 1.02),
    ("all", "none", "recording all 31 states / plain lm_eval on an engine that shows the last", 1.05),
    ("shown", "none", "an engine that shows all states, not recorded / one that shows the last", None),
    ("all", "shown", "recording all 31 states / not recording, the same engine", None),
)


def available() -> bool:
    """Whether vLLM is installed."""
    return find_spec("vllm") is not None


def run(setup: Setup) -> Iterator[Figure | str]:
    """The figures; a line that says so where vLLM is not installed."""
    if not available():
        yield "(e) SKIPPED: vLLM is not installed (make vllm)"
        return
    _workload.windows(setup.windows)
    with ExitStack() as stack:
        engines = {shows: stack.enter_context(Worker(_command(shows, setup.windows))) for shows in (False, True)}
        samplers = {name: _ask(engines[shows], records) for name, (shows, records) in VARIANTS.items()}
        for sample in tqdm(samplers.values(), desc="(e) warm-up", unit="run"):
            sample()
        rounds = alternate(samplers, setup.pairs, "(e) time")
    for above, below, what, target in COMPARED:
        noise, base = ratio(rounds, "again", "none", "seconds"), median(rounds, below, "seconds")
        unit = f"{base / setup.windows:.3f} s a window"
        yield Figure("e", what, "time", ratio(rounds, above, below, "seconds"), noise, unit, target)
    yield _difference(rounds)


def _ask(worker: Worker, records: bool) -> Sampler:
    return lambda: worker.sample("record" if records else "")


def _command(shows: bool, windows: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks._vllm_engine", "all" if shows else "last", str(windows)]


def _difference(rounds: Rounds) -> str:
    """How far apart the log-likelihoods of runs lie, with recording and without."""
    last, every, again = (apart(rounds, name, "none") for name in ("last", "all", "again"))
    return (
        f"(e) log-likelihoods of a window differ by at most {last:.1e} nats with the last state recorded, "
        f"{every:.1e} with all, and {again:.1e} between two runs without"
    )
