"""What the runs in a folder measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sizes import SETTINGS, Cell, Plan, Run, to_choose, to_judge

Floats = NDArray[np.float64]
QUARTER, THREE_QUARTERS, END = 3, 7, 9
"""Of a plan's points."""


def read(out: Path, run: Run) -> tuple[Floats, Floats] | None:
    """[texts, points], mean nats a token; [points], D. Nothing where it has not been run."""
    file = out / "runs" / f"{run.name}.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    return np.array([found["nats"][text] for text in SETTINGS[run.cell.setting]]), np.array(found["dispersion"])


def validation(out: Path, plan: Plan) -> dict[tuple[Cell, str], Floats]:
    """[weights]: mean log-perplexity of the texts on validation, over a quarter of the steps and all of them.

    Raises:
        SystemExit: where a run is missing.
    """
    found: dict[tuple[Cell, str], dict[float, list[float]]] = {}
    for run in to_choose(plan):
        values = read(out, run)
        if values is None:
            raise SystemExit(f"{out} has no {run.name}; run.py makes it")
        found.setdefault((run.cell, run.arm), {}).setdefault(run.lam, []).append(values[0][:, [QUARTER, END]].mean())
    return {key: np.array([np.mean(of[lam]) for lam in plan.lams]) for key, of in found.items()}


def chosen(out: Path, plan: Plan) -> dict[tuple[Cell, str], float]:
    """The weight with the least of it."""
    return {key: plan.lams[int(values.argmin())] for key, values in validation(out, plan).items()}


def judged(out: Path, plan: Plan) -> dict[Cell, dict[str, tuple[Floats, Floats]]]:
    """Arm -> [seeds, texts, points], mean nats a token of test text; [seeds, points], D. Seeds that all cells have.

    Raises:
        SystemExit: where there are no two.
    """
    runs = list(to_judge(plan, chosen(out, plan)))
    values = {run: read(out, run) for run in runs}
    whole = [seed for seed in plan.judged_seeds if all(values[run] for run in runs if run.seed == seed)]
    if len(whole) < 2:
        raise SystemExit(f"{out} has no two seeds of every arm; run.py makes them")
    found: dict[Cell, dict[str, tuple[Floats, Floats]]] = {cell: {} for cell in plan.cells}
    for cell in plan.cells:
        for arm in plan.arms:
            of = [values[run] for run in runs if (run.cell, run.arm) == (cell, arm) and run.seed in whole]
            nats, dispersion = zip(*of, strict=True)
            found[cell][arm] = np.stack(nats), np.stack(dispersion)
    return found
