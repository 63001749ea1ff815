"""What a stranger's model must pass before it is in the queue, and again before it is run; none of it is executed."""

from dispersion_leaderboard.admission._discover import discover
from dispersion_leaderboard.admission._inspect import Admitted, Unreachable, inspect, inspect_folder
from dispersion_leaderboard.admission._model_files import Refused
from dispersion_leaderboard.admission._submit import Answer, Asked, check, submit

__all__ = [
    "Admitted",
    "Answer",
    "Asked",
    "Refused",
    "Unreachable",
    "check",
    "discover",
    "inspect",
    "inspect_folder",
    "submit",
]
