"""The picture of the push-away example: perplexity against plain training's, and D, over the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from results import Floats
from scipy import stats
from sizes import SETTINGS, Cell, Plan


def draw(found: dict[Cell, dict[str, tuple[Floats, Floats]]], plan: Plan, file: Path) -> None:
    """A column for each cell; ``found`` is what ``judged`` gives."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, len(found), figsize=(4.4 * len(found), 7), layout="constrained", squeeze=False, sharex=True
    )
    for (above, below), (cell, arms) in zip(axes.T, found.items(), strict=True):
        plain = arms["plain"][0].mean(1)
        for k, (arm, (nats, dispersion)) in enumerate(arms.items()):
            # In cross, the mean log-perplexity of both texts.
            differences = nats.mean(1) - plain
            mean = differences.mean(0)
            half = stats.t.ppf(0.975, len(plain) - 1) * stats.sem(differences)
            low, middle, high = (100 * np.expm1(mean + by) for by in (-half, 0, half))
            above.plot(plan.points, middle, color=f"C{k}", marker=".", label=arm)
            above.fill_between(plan.points, low, high, color=f"C{k}", alpha=0.15, linewidth=0)
            below.plot(plan.points, dispersion.mean(0), color=f"C{k}", marker=".")
        above.set_title(f"{cell.setting} ({', '.join(SETTINGS[cell.setting])}), rate {cell.rate:g}")
        below.set_xlabel("step")
    axes[0, 0].set_ylabel("perplexity against plain training's, %\n(band: 95 % over seeds, each point alone)")
    axes[1, 0].set_ylabel("D of the test text")
    axes[0, 0].legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    plt.close(figure)
