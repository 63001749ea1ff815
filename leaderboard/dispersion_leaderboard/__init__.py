"""Reads lm_eval's results files, fits, and renders. Imports no torch and nothing of the plugin."""

from dispersion_leaderboard._version import __version__

__all__ = ["__version__"]
