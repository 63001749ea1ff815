"""A built folder of pages to a static Space of the Hub, or to a browser on this machine."""

from leaderboard.publish._serve import serve
from leaderboard.publish._space import publish

__all__ = ["publish", "serve"]
