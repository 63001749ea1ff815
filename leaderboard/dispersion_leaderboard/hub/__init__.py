"""One repository of the Hub, asked by its own client with a patience that the client lacks."""

from dispersion_leaderboard.hub._patience import REFUSALS, Patience, Refused, may_be_too_large
from dispersion_leaderboard.hub._repository import Repository

__all__ = ["REFUSALS", "Patience", "Refused", "Repository", "may_be_too_large"]
