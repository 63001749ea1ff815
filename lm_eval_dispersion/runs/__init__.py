"""Runs of lm_eval read back: results files, logged samples, and text of strangers made fit to show."""

from lm_eval_dispersion.runs._plain import number, plain
from lm_eval_dispersion.runs._results import Run, complain, find_runs, runs_at
from lm_eval_dispersion.runs._samples import read_samples

__all__ = ["Run", "complain", "find_runs", "number", "plain", "read_samples", "runs_at"]
