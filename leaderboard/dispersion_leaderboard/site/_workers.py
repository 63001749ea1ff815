"""Work for several processes, where there is enough of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """One process a core; none at all for a small board, which is done sooner than they start."""

    def __init__(self, wanted: bool) -> None:
        # Not forked: neither Arrow's nor the chart library's threads survive a fork.
        spawn = get_context("spawn")
        self._pool = ProcessPoolExecutor(os.cpu_count(), spawn) if wanted else None

    def map(self, do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Results in order; with processes, all items are begun at once."""
        return map(do, items) if self._pool is None else self._pool.map(do, items)

    def warm(self, load: Callable[[], None]) -> None:
        """Starts the processes now, and lets them load what they will need while this one is busy otherwise."""
        if self._pool is not None:
            for _ in range(os.cpu_count() or 1):
                self._pool.submit(load)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error is None, cancel_futures=True)
