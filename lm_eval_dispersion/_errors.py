"""A user's mistake, said in one line."""

from __future__ import annotations


class TaskError(SystemExit):
    """Ends ``lm_eval`` with one line on standard error and exit status 1, without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(f"lm-eval-dispersion: {message}")
