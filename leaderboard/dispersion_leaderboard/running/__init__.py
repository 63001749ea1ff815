"""Models are run: a worker claims requests, and an executor runs them, on this machine or a Ray cluster."""

from dispersion_leaderboard.running._local import LocalExecutor
from dispersion_leaderboard.running._ray import RayExecutor
from dispersion_leaderboard.running._run import check_model_args, evaluate
from dispersion_leaderboard.running._scrub import scrubbed
from dispersion_leaderboard.running._unit import Engine, Executor, Limits, Outcome, Unit
from dispersion_leaderboard.running._worker import Policy, Worker

__all__ = [
    "Engine",
    "Executor",
    "Limits",
    "LocalExecutor",
    "Outcome",
    "Policy",
    "RayExecutor",
    "Unit",
    "Worker",
    "check_model_args",
    "evaluate",
    "scrubbed",
]
