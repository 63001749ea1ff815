"""Records laid out for reading and fitting: one row a model in one configuration, one column a comparable quantity."""

from dispersion_leaderboard.board._board import Board, lay_out
from dispersion_leaderboard.board._columns import Column
from dispersion_leaderboard.board._named import labelled, one_of
from dispersion_leaderboard.board._observations import domain_observations, observations
from dispersion_leaderboard.board._ranks import Ranks, rank

__all__ = [
    "Board",
    "Column",
    "Ranks",
    "domain_observations",
    "labelled",
    "lay_out",
    "observations",
    "one_of",
    "rank",
]
