"""Runs of lm_eval read back: results files, records, logged samples, and text of strangers made fit to show."""

from lm_eval_dispersion.runs._measured import Measured, Metric, Signal, Value, engine_of, measured, metrics_of, model_of
from lm_eval_dispersion.runs._plain import number, plain
from lm_eval_dispersion.runs._results import Run, complain, find_runs, runs_at
from lm_eval_dispersion.runs._samples import read_samples

__all__ = [
    "Measured",
    "Metric",
    "Run",
    "Signal",
    "Value",
    "complain",
    "engine_of",
    "find_runs",
    "measured",
    "metrics_of",
    "model_of",
    "number",
    "plain",
    "read_samples",
    "runs_at",
]
