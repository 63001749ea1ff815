"""Models are asked for, evaluated somewhere and recorded: a queue, a store of results, and who works on them."""

from leaderboard.queue._open import open_tree
from leaderboard.queue._queue import Queue
from leaderboard.queue._read import read_queue
from leaderboard.queue._results import Results
from leaderboard.queue._view import QueueView
from leaderboard.queue._worker import Policy, Worker

__all__ = ["Policy", "Queue", "QueueView", "Results", "Worker", "open_tree", "read_queue"]
