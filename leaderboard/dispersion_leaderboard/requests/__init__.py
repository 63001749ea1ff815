"""What is asked for, on which suite, in which state it is, and the queue of all that was asked for."""

from dispersion_leaderboard.requests._queue import Change, Entries, Queue, shard_of
from dispersion_leaderboard.requests._read import read_queue
from dispersion_leaderboard.requests._reason import Reason
from dispersion_leaderboard.requests._request import BadRequest, Request
from dispersion_leaderboard.requests._states import ATTEMPTS, Entry, Shard, State, later, stamp
from dispersion_leaderboard.requests._suites import Suite, group_name, read_suites
from dispersion_leaderboard.requests._turn import cancel, find, requeue, told
from dispersion_leaderboard.requests._view import QueueView

__all__ = [
    "ATTEMPTS",
    "BadRequest",
    "Change",
    "Entries",
    "Entry",
    "Queue",
    "QueueView",
    "Reason",
    "Request",
    "Shard",
    "State",
    "Suite",
    "cancel",
    "find",
    "group_name",
    "later",
    "read_queue",
    "read_suites",
    "requeue",
    "shard_of",
    "stamp",
    "told",
]
