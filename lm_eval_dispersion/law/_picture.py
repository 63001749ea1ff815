"""The demo's picture: D by layer, and D against log-perplexity by window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lm_eval_dispersion.law._statistics import Law


def draw(laws: list[Law], file: Path) -> None:
    """Writes one picture, a row a corpus; written beside and renamed, so a good one is never half replaced.

    Raises:
        ImportError: without matplotlib, which the extra ``demo`` brings.
        OSError, ValueError: where the file cannot be written, or matplotlib does not know its ending.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    corpora = sorted({found.windows.corpus for found in laws})
    figure, axes = plt.subplots(len(corpora), 2, figsize=(11, 3.8 * len(corpora)), squeeze=False, layout="constrained")
    for (left, right), corpus in zip(axes, corpora, strict=True):
        for found in (f for f in laws if f.windows.corpus == corpus):
            w = found.windows
            mean, stderr = (np.array(w.profile[key], dtype=float) for key in ("mean", "stderr"))
            depth = np.linspace(0, 1, len(mean))
            (line,) = left.plot(depth, mean, marker="o", markersize=3, label=w.model)
            left.fill_between(depth, mean - 1.96 * stderr, mean + 1.96 * stderr, alpha=0.25, color=line.get_color())
            last = found.by_window[-1]
            right.scatter(w.log_perplexity, w.dispersion[:, -1], s=9, alpha=0.5, color=line.get_color(),
                          label=f"r = {last}, n = {len(w.documents)}")  # fmt: skip
        left.set(title=f"{corpus}: D by layer", xlabel="depth (0: embeddings, 1: last hidden state)", ylabel="D within")
        right.set(title="D at the last hidden state, by window", xlabel="log-perplexity (nats a token)", ylabel="D")
        left.legend(fontsize=8)
        right.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}")
    figure.savefig(beside, dpi=150, format=file.suffix.lstrip(".") or "png")
    beside.replace(file)
    plt.close(figure)
