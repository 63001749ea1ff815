"""Trains small GPT-2s from scratch with and without the push-away, and with other losses that spread vectors.

python examples/push_away/run.py OUT [--size cpu|short|gpt2-small] [--workers N]

What is trained is in sizes.py. First come the runs by which each arm's weight is chosen on validation text, then those
that analyse.py compares on test text. Each writes OUT/runs/NAME.json when it is finished, and is not run again: after
Ctrl-C the same command goes on there, and analyse.py takes the seeds that are whole.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
import transformers
from one_run import work
from results import chosen
from sizes import SIZES, Plan, Run, to_choose, to_judge
from texts import prepare
from tqdm import tqdm


def main(out: Path, plan: Plan, workers: int = 1) -> None:
    """Trains those runs of ``plan`` that are not in ``out`` yet.

    Raises:
        SystemExit: where ``out`` is of another plan.
    """
    told, wanted = out / "plan.json", json.loads(json.dumps(asdict(plan)))
    if not told.is_file():
        out.mkdir(parents=True, exist_ok=True)
        (beside := told.with_suffix(".part")).write_text(json.dumps(wanted, indent=1), encoding="utf-8")
        beside.replace(told)
    elif json.loads(told.read_text(encoding="utf-8")) != wanted:
        raise SystemExit(f"{out} was trained by another plan; take another folder")
    prepare(plan, out)
    _all(to_choose(plan), plan, out, workers, "weights")
    _all(to_judge(plan, chosen(out, plan)), plan, out, workers, "seeds")


def _all(runs: Iterable[Run], plan: Plan, out: Path, workers: int, name: str) -> None:
    todo = [(run, plan, out) for run in runs if not (out / "runs" / f"{run.name}.json").is_file()]
    with tqdm(total=len(todo), desc=name, unit="run", disable=not todo) as bar:
        if workers == 1 or len(todo) < 2:
            for job in todo:
                work(job)
                bar.update()
            return
        # A worker is ended when this block is left, by Ctrl-C, too.
        with multiprocessing.get_context("spawn").Pool(workers, _begin) as pool:
            for _ in pool.imap_unordered(work, todo):
                bar.update()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _quiet()


def _quiet() -> None:
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument(
        "--workers", type=int, help="trainings at a time, of one thread each (a GPU: 1; else: the cores)"
    )
    given = parser.parse_args()
    _quiet()
    try:
        main(given.out, SIZES[given.size], given.workers or (1 if torch.cuda.is_available() else os.cpu_count() or 1))
    except KeyboardInterrupt:
        raise SystemExit("run: stopped; finished runs stay, and the same command goes on there") from None
