"""``python -m benchmarks``: every figure, as Markdown on standard output; progress on standard error."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version

PARTS = ("a", "b", "c", "d", "e", "scaling")
WITH_TARGET = ("a", "e")


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--pairs",
        type=int,
        default=12,
        help="rounds of each timing that has a target, half as many of the others (default 12)",
    )
    parser.add_argument("--memory-pairs", type=int, default=3, help="rounds of each memory reading (default 3)")
    parser.add_argument("--windows", type=int, default=4, help="windows of 512 tokens a run (default 4)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run (default all: %(default)s)")
    arguments = parser.parse_args(given)
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(PARTS):
        parser.error(f"--only: no part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)}")
    if min(arguments.pairs, arguments.memory_pairs, arguments.windows) < 1:
        parser.error("--pairs, --memory-pairs and --windows are at least 1")
    return arguments


def _machine() -> str:
    import torch

    names = ("lm_eval", "torch", "transformers", "lm-eval-dispersion")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = f", load average at the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{date.today()}; {os.cpu_count()} cores, {platform.machine()}, {platform.system()}; "
        f"{torch.get_num_threads()} torch threads; Python {platform.python_version()}, {versions}{load}"
    )


def main(given: Sequence[str] | None = None) -> None:
    """Runs the parts asked for; each prints as soon as it is done. Arguments are the command line's unless given."""
    arguments = _arguments(given)
    # The models and texts are on this machine; a look-up on the Hub would only cost time.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from benchmarks import condensation, hidden_states, procedure, recording, scaling, vllm
    from benchmarks._measure import HEADER
    from benchmarks._setup import Setup

    print(_machine(), flush=True)
    exact = Setup(arguments.pairs, arguments.memory_pairs, arguments.windows)
    rough = replace(exact, pairs=max(1, arguments.pairs // 2))
    runs = {"a": recording.run, "b": hidden_states.run, "c": procedure.run, "d": condensation.run, "e": vllm.run}
    chosen = [part for part in runs if part in arguments.only]
    notes: list[str] = []
    if chosen:
        print(f"{arguments.windows} windows of 512 tokens a run, batch size 1, float32\n\n{HEADER}", flush=True)
    for part in chosen:
        for said in runs[part](exact if part in WITH_TARGET else rough):
            if isinstance(said, str):
                notes.append(said)
            else:
                print(said.row(), flush=True)
    if notes:
        print("\n" + "\n".join(f"- {note}" for note in notes), flush=True)
    if "scaling" in arguments.only:
        print("\n" + scaling.run(min(arguments.pairs, 3), min(arguments.memory_pairs, 2)), flush=True)


if __name__ == "__main__":
    main()
