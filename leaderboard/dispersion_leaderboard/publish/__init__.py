"""A built folder of pages to a static Space of the Hub, or to a browser on this machine."""

from dispersion_leaderboard.publish._serve import serve
from dispersion_leaderboard.publish._space import publish

__all__ = ["publish", "serve"]
