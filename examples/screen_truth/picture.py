"""The picture of the truth test: G and its rival against bits per byte of code, and rho of G with other tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def draw(found: dict[str, Any], file: Path) -> None:
    """One row of three; ``found`` is what judge.py writes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    bits, shares = np.array(found["bits_per_byte_of_code"]), found["shares"]
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(shares)))
    labels = {"G": "G(keywords), no forward pass", "log_perplexity": "log-perplexity of 10 kB of code (nats a token)"}
    for axes, (key, label) in zip((left, middle), labels.items(), strict=True):
        values, told = np.array(found["values"][key]), found["verdicts"][key]
        for i, share in enumerate(shares):
            axes.scatter(values[i], bits[i], color=colours[i], s=36, label=f"{share} % code")
        axes.set(xlabel=label, title=f"rho = {told['rho']:+.2f}")
    left.set_ylabel("bits per byte of held-out code")
    middle.legend(fontsize=8, title="trained on", title_fontsize=8)
    names = {
        "random": "random",
        "frequency": "same frequency",
        "both frequencies": "same frequency in\ncode and in prose",
    }
    rho = [found["chance"][name]["rho"] for name in names]
    right.violinplot(rho, orientation="horizontal", showextrema=False, showmedians=True, widths=0.8)
    right.axvline(found["verdicts"]["G"]["rho"], color="black", label="keywords")
    right.axvline(
        -found["verdicts"]["log_perplexity"]["rho"], color="tab:red", linestyle="--", label="log-perplexity, negated"
    )
    right.set_yticks(range(1, len(names) + 1), names.values())
    right.set(
        xlim=(-1.05, 1.05), xlabel="rho of G with bits per byte of code", title="other tokens in the keywords' place"
    )
    right.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    plt.close(figure)
