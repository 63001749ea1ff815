"""A user's mistake, said in one line."""

from __future__ import annotations

import sys
from types import TracebackType


class TaskError(Exception):
    """An ordinary exception whose message is one line for the user: what is wrong, and the fix."""

    def __init__(self, message: str) -> None:
        super().__init__(f"lm-eval-dispersion: {message}")


def end_in_one_line() -> None:
    """From now on a ``TaskError`` that nobody catches ends the process with its line instead of a traceback.

    The exit status is 1, as for every uncaught exception. lm_eval's command line has no such place of its own.
    """
    stock = sys.excepthook

    def say(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if isinstance(error, TaskError):
            print(error, file=sys.stderr)
        else:
            stock(kind, error, at)

    sys.excepthook = say


def one_line(error: BaseException) -> str:
    """An exception of any library in one line, with its type where its message may not speak for itself."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {said[:300]}" if said else type(error).__name__
