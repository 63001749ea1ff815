"""Models are asked for, evaluated somewhere and recorded: a queue, a store of results, and who works on them."""

from dispersion_leaderboard.queue._open import open_tree
from dispersion_leaderboard.queue._queue import Queue
from dispersion_leaderboard.queue._read import read_queue
from dispersion_leaderboard.queue._results import Results
from dispersion_leaderboard.queue._view import QueueView
from dispersion_leaderboard.queue._worker import Policy, Worker

__all__ = ["Policy", "Queue", "QueueView", "Results", "Worker", "open_tree", "read_queue"]
