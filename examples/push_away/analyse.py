"""What run.py's trainings show: the push-away and its rivals against plain training.

python examples/push_away/analyse.py OUT [--size cpu|short|gpt2-small] [--picture FILE]

Prints Markdown. The analysis, written down before anything was trained at this size:

- A cell is a setting (`single`: English, all pairs pushed apart; `cross`: half English, half Python, pairs of the two
  pushed apart) with a learning rate. Its arms differ by the auxiliary loss alone; `plain` has none.
- Choice: each arm's weight is, of those in sizes.py, that with the least log-perplexity on validation text, the mean of
  two steps, a quarter and all of them, and in `cross` of both texts. Seeds that choose are not judged; a weight at
  an end of the grid is marked with a star.
- Comparison: on test text that chose nothing, perplexity of an arm against plain's of the same seed, with the same
  first weights and the same windows in the same order: the mean of the differences in log-perplexity over seeds, as
  a change in percent. It is judged at a quarter of the steps and at the last.
- Intervals are of Student's t over seeds: 95 %, and 95 % for all comparisons in all tables together (Bonferroni), the
  one that counts. They hold for these held-out texts: other texts are not drawn.
- Steps saved: how many steps before plain training an arm reaches the perplexity that plain has at a quarter, and three
  quarters, of the steps (of the same seed; between measured steps a straight line in log-perplexity). Negative: later.
  Where some seeds do not reach it at all, that is said, and there is no mean.
- Whether plain training has flattened: by how much its perplexity still falls over the last eighth.
- No other comparison is part of the claim; the curves in between are for looking at.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from results import END, QUARTER, THREE_QUARTERS, Floats, chosen, judged, validation
from scipy import stats
from sizes import SETTINGS, SIZES, Cell, Plan


class Change(NamedTuple):
    """A mean over seeds, with half the width of two intervals."""

    mean: float
    half: float
    """95 %."""
    half_of_all: float
    """95 % for all comparisons together."""


def change(differences: Floats, comparisons: int) -> Change:
    """Of paired differences, [seeds]."""
    error, free = stats.sem(differences), len(differences) - 1
    half, half_of_all = (float(stats.t.ppf(1 - 0.025 / m, free) * error) for m in (1, comparisons))
    return Change(float(differences.mean()), half, half_of_all)


def percent(found: Change) -> str:
    """A change of log-perplexity as one of perplexity."""
    low, high, low_of_all, high_of_all, mean = (
        100 * np.expm1(found.mean + by) for by in (-found.half, found.half, -found.half_of_all, found.half_of_all, 0.0)
    )
    shown = f"{mean:+.1f} % [{low:+.1f}, {high:+.1f}; {low_of_all:+.1f}, {high_of_all:+.1f}]"
    return f"**{shown}**" if low_of_all > 0 or high_of_all < 0 else shown


def reached(points: Floats, curve: Floats, level: float) -> float:
    """The first step at which ``curve`` is at ``level`` or below; NaN where it never is.

    Args:
        points: [points], steps.
        curve: [points], log-perplexity; a straight line in between, and before the first point unknown.
        level: log-perplexity.
    """
    below = np.flatnonzero(curve <= level)
    if not len(below):
        return float("nan")
    i = int(below[0])
    if i == 0:
        return float(points[0])
    part = (curve[i - 1] - level) / (curve[i - 1] - curve[i])
    return float(points[i - 1] + part * (points[i] - points[i - 1]))


def saved(points: Floats, plain: Floats, arm: Floats, at: int) -> str:
    """Steps that ``arm`` saves to plain's perplexity at point ``at``; both [seeds, points]."""
    steps = np.array([points[at] - reached(points, a, p[at]) for p, a in zip(plain, arm, strict=True)])
    missing = int(np.isnan(steps).sum())
    if missing:
        return f"not reached by {missing} of {len(steps)}"
    found = change(steps, 1)
    return f"{found.mean:+.0f} ± {found.half:.0f}"


def main(out: Path, plan: Plan, picture: Path | None = None) -> str:
    """Markdown of what the runs in ``out`` show.

    Raises:
        SystemExit: where runs are missing.
    """
    found, lams = judged(out, plan), chosen(out, plan)
    comparisons = 2 * (len(plan.arms) - 1) * sum(len(SETTINGS[cell.setting]) for cell in plan.cells)
    seeds = len(next(iter(found[plan.cells[0]].values()))[0])
    lines = [f"{seeds} seeds, {comparisons} comparisons. Bold: the interval for all of them leaves out 0."]
    for cell in plan.cells:
        for i, text in enumerate(SETTINGS[cell.setting]):
            lines += ["", *_table(cell, i, text, plan, found[cell], lams, comparisons)]
    lines += ["", "Log-perplexity on validation text, by weight:", "", *_validation(out, plan)]
    if picture:
        from curves import draw

        draw(found, plan, picture)
    return "\n".join(lines)


def _table(
    cell: Cell, i: int, text: str, plan: Plan, found: dict[str, tuple[Floats, Floats]], lams: dict, comparisons: int
) -> list[str]:
    points = np.array(plan.points, dtype=float)
    plain = found["plain"][0][:, i]
    fall = -100 * np.expm1((plain[:, END] - plain[:, END - 1]).mean())
    quarter, three, end = (plan.points[at] for at in (QUARTER, THREE_QUARTERS, END))
    lines = [
        f"`{cell.setting}`, rate {cell.rate:g}, {text} (over the last eighth of the steps plain perplexity "
        f"falls by {fall:.1f} %):",
        "",
        f"| arm | weight | perplexity at {quarter} | change | at {end} | change | D at {quarter}, {end} "
        f"| steps saved to plain's at {quarter} | at {three} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, (nats, dispersion) in found.items():
        at = {point: float(np.exp(nats[:, i, point].mean())) for point in (QUARTER, END)}
        spread = f"{dispersion[:, QUARTER].mean():.2f}, {dispersion[:, END].mean():.2f}"
        if arm == "plain":
            lines.append(f"| plain | | {at[QUARTER]:.1f} | | {at[END]:.1f} | | {spread} | | |")
            continue
        by = {point: percent(change(nats[:, i, point] - plain[:, point], comparisons)) for point in (QUARTER, END)}
        lam = lams[cell, arm]
        star = "*" if lam in (min(plan.lams), max(plan.lams)) else ""
        steps = " | ".join(saved(points, plain, nats[:, i], point) for point in (QUARTER, THREE_QUARTERS))
        lines.append(
            f"| {arm} | {lam:g}{star} | {at[QUARTER]:.1f} | {by[QUARTER]} | {at[END]:.1f} | {by[END]} "
            f"| {spread} | {steps} |"
        )
    return lines


def _validation(out: Path, plan: Plan) -> list[str]:
    lines = [f"| setting | rate | arm | {' | '.join(f'{lam:g}' for lam in plan.lams)} |"]
    lines.append("|---" * (3 + len(plan.lams)) + "|")
    for (cell, arm), values in validation(out, plan).items():
        shown = " | ".join(f"**{v:.3f}**" if v == values.min() else f"{v:.3f}" for v in values)
        lines.append(f"| {cell.setting} | {cell.rate:g} | {arm} | {shown} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    given = parser.parse_args()
    print(main(given.out, SIZES[given.size], given.picture))
