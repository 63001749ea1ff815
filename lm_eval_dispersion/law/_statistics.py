"""The paper's law on lm_eval runs: correlation of D with log-perplexity, by window and in bins, with intervals.

Bins are 25 of equal count over windows sorted by log-perplexity; the variant of the paper's released
code (groups of 100, at most 100 of them spread evenly over perplexity, perplexity >= 25 dropped) stands beside
them. Intervals are 95 % percentile bootstraps that resample documents, then bin again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._percentile import percentile_interval
from lm_eval_dispersion.law._windows import Floats, Windows

BINS = 25
RESAMPLES = 1000
_RELEASED_GROUP, _RELEASED_GROUPS, _RELEASED_LIMIT = 100, 100, 25.0


@dataclass(frozen=True)
class Estimate:
    """A correlation with its 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if not np.isfinite(self.value):
            return "-"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class Law:
    """All arrays of estimates are by layer."""

    windows: Windows
    by_window: list[Estimate]
    by_bin: list[Estimate]
    released: list[Estimate]
    """The released code's grouping; NaN where fewer than three of its groups remain."""
    partial: list[Estimate]
    """By window, with length and repetition held constant (linear partial correlation)."""


def pearson(d: Floats, log_perplexity: Floats) -> Floats:
    """[n, layers] against [n] -> [layers]; NaN for fewer than three points or no variance."""
    if len(d) < 3:
        return np.full(d.shape[1], np.nan)
    x, y = d - d.mean(0), log_perplexity - log_perplexity.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Floats = (x * y[:, None]).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum())
    return r


def in_bins(d: Floats, log_perplexity: Floats) -> tuple[Floats, Floats]:
    """Means of at most 25 bins of equal count over windows sorted by log-perplexity."""
    order = np.argsort(log_perplexity, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return np.stack([d[p].mean(0) for p in parts]), np.array([log_perplexity[p].mean() for p in parts])


def in_released_groups(d: Floats, log_perplexity: Floats) -> tuple[Floats, Floats]:
    """The grouping of the paper's released code (rep_dispersion, step 2 and 3)."""
    order = np.argsort(log_perplexity, kind="stable")
    groups = [order[i : i + _RELEASED_GROUP] for i in range(0, len(order) - _RELEASED_GROUP + 1, _RELEASED_GROUP)]
    perplexity = np.array([np.exp(log_perplexity[g]).mean() for g in groups])
    if len(groups) > _RELEASED_GROUPS:
        spread = np.linspace(perplexity.min(), perplexity.max(), _RELEASED_GROUPS)
        chosen = sorted({int(np.abs(perplexity - p).argmin()) for p in spread})
        groups, perplexity = [groups[i] for i in chosen], perplexity[chosen]
    kept = [g for g, p in zip(groups, perplexity, strict=True) if p < _RELEASED_LIMIT]
    if not kept:
        return np.empty((0, d.shape[1])), np.empty(0)
    return np.stack([d[g].mean(0) for g in kept]), np.array([log_perplexity[g].mean() for g in kept])


def without_confounders(w: Windows, chosen: NDArray[np.int64]) -> Floats:
    """Correlation of what length and repetition leave unexplained of D and of log-perplexity."""
    confounders = np.column_stack([np.ones(len(chosen)), w.log_vectors[chosen], w.repetition[chosen]])
    both = np.column_stack([w.dispersion[chosen], w.log_perplexity[chosen]])
    residual = both - confounders @ np.linalg.lstsq(confounders, both, rcond=None)[0]
    return pearson(residual[:, :-1], residual[:, -1])


def law(w: Windows, resamples: int = RESAMPLES, seed: int = 0) -> Law:
    """All correlations of one model on one corpus."""
    statistics: list[Callable[[NDArray[np.int64]], Floats]] = [
        lambda i: pearson(w.dispersion[i], w.log_perplexity[i]),
        lambda i: pearson(*in_bins(w.dispersion[i], w.log_perplexity[i])),
        lambda i: pearson(*in_released_groups(w.dispersion[i], w.log_perplexity[i])),
        lambda i: without_confounders(w, i),
    ]
    every = np.arange(len(w.documents))
    of_document = [np.flatnonzero(w.documents == d) for d in np.unique(w.documents)]
    rng = np.random.default_rng(seed)
    drawn = [
        np.concatenate([of_document[d] for d in rng.integers(len(of_document), size=len(of_document))])
        for _ in range(resamples)
    ]
    return Law(w, *([*map(_estimates, _each(s, every, drawn))] for s in statistics))


def _each(
    statistic: Callable[[NDArray[np.int64]], Floats], every: NDArray[np.int64], drawn: list[NDArray[np.int64]]
) -> list[tuple[float, Floats]]:
    values, resampled = statistic(every), np.stack([statistic(i) for i in drawn])
    return [(float(value), resampled[:, layer]) for layer, value in enumerate(values)]


def _estimates(found: tuple[float, Floats]) -> Estimate:
    return Estimate(found[0], *percentile_interval(*found))


def table(laws: list[Law]) -> str:
    """Markdown: one row a model and corpus, at the last hidden state, the best layer and the embeddings."""
    lines = [
        "| model | corpus | windows (documents) | perplexity | last, by window | last, 25 bins | last, released "
        "grouping | last, length and repetition held | most negative layer, by window | embeddings, by window |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for found in laws:
        w, best = found.windows, int(np.nanargmin([e.value for e in found.by_window]))
        lines.append(
            f"| {w.model} | {w.corpus} | {len(w.documents)} ({len(np.unique(w.documents))}) "
            f"| {np.exp(w.log_perplexity.mean()):.1f} | {found.by_window[-1]} | {found.by_bin[-1]} "
            f"| {found.released[-1]} | {found.partial[-1]} | {best} of {len(found.by_window) - 1}: "
            f"{found.by_window[best]} | {found.by_window[0]} |"
        )
    return "\n".join(lines)


def by_layer(laws: list[Law]) -> str:
    """Markdown: r by window and in bins at every layer."""
    lines = []
    for found in laws:
        lines += [
            f"\n{found.windows.model}, {found.windows.corpus}\n",
            "| layer | by window | 25 bins |",
            "|---|---|---|",
        ]
        lines += [f"| {i} | {a} | {b} |" for i, (a, b) in enumerate(zip(found.by_window, found.by_bin, strict=True))]
    return "\n".join(lines)
