"""A board and its fits as static pages: open from a file, on a Space, without a server and without a network."""

from dispersion_leaderboard.site._build import build

__all__ = ["build"]
