"""Models are run as jobs of the Hub: what starts and follows them, and what runs inside one."""

from dispersion_leaderboard.jobs._executor import PACKAGE, JobsExecutor

__all__ = ["PACKAGE", "JobsExecutor"]
