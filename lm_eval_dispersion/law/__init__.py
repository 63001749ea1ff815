"""The paper's law within one model: D of a window against its log-perplexity, from runs with ``--log_samples``."""

from lm_eval_dispersion.law._picture import draw
from lm_eval_dispersion.law._statistics import (
    BINS,
    Estimate,
    Law,
    by_layer,
    in_bins,
    in_released_groups,
    law,
    pearson,
    table,
    without_confounders,
)
from lm_eval_dispersion.law._windows import Windows, read_windows

__all__ = [
    "BINS",
    "Estimate",
    "Law",
    "Windows",
    "by_layer",
    "draw",
    "in_bins",
    "in_released_groups",
    "law",
    "pearson",
    "read_windows",
    "table",
    "without_confounders",
]
