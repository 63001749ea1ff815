"""A progress bar a task, where lm_eval's rolling method draws one for every batch of windows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from types import TracebackType

from tqdm import tqdm


class TaskBars:
    """One bar after the other, each named by its task, on standard error as lm_eval's are.

    Args:
        tasks: of each window, in the order in which they are run.
        disable: draws nothing; on every process but the first, as lm_eval does.
    """

    def __init__(self, tasks: Sequence[str], disable: bool) -> None:
        self._waiting = iter([(task, len(list(windows))) for task, windows in groupby(tasks)])
        self._disable = disable
        self._left = 0
        self._bar: tqdm[None] | None = None

    def __enter__(self) -> TaskBars:
        """Draws the first task's bar."""
        self._next()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the line of a bar that an error leaves unfinished."""
        if self._bar is not None:
            self._bar.close()

    def update(self, windows: int) -> None:
        """So many more windows are done; a batch may end one task and begin the next."""
        while windows and self._bar is not None:
            done = min(windows, self._left)
            self._bar.update(done)
            self._left, windows = self._left - done, windows - done
            if not self._left:
                self._bar.close()
                self._next()

    def _next(self) -> None:
        task, self._left = next(self._waiting, (None, 0))
        self._bar = tqdm(total=self._left, desc=task, unit="window", disable=self._disable) if self._left else None
