"""Models are run: a worker claims requests, and an executor runs them here, on a Ray cluster or as the Hub's jobs."""

from dispersion_leaderboard.running._jobs import PACKAGE, JobsExecutor
from dispersion_leaderboard.running._local import LocalExecutor
from dispersion_leaderboard.running._ray import RayExecutor
from dispersion_leaderboard.running._run import check_model_args
from dispersion_leaderboard.running._unit import Engine, Executor, Limits, Outcome, Unit
from dispersion_leaderboard.running._worker import Policy, Worker

__all__ = [
    "PACKAGE",
    "Engine",
    "Executor",
    "JobsExecutor",
    "Limits",
    "LocalExecutor",
    "Outcome",
    "Policy",
    "RayExecutor",
    "Unit",
    "Worker",
    "check_model_args",
]
