"""Waiting after a lost race: a random while, longer each time, so that those who lost do not meet again."""

from __future__ import annotations

import random
import time

from dispersion_leaderboard.hub import Refused

_FIRST = 0.25
_LONGEST = 20.0
_MOST = 200


class Backoff:
    """Of one change that somebody else's commits come before.

    Args:
        store: as a person calls it.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._races = 0

    def wait(self) -> None:
        """Sleeps.

        Raises:
            Refused: after so many races that something else must be wrong.
        """
        self._races += 1
        if self._races == _MOST:
            raise Refused(f"{self._store} was changed by others {_MOST} times in a row; try again later", after=300)
        time.sleep(random.uniform(0, min(_LONGEST, _FIRST * 2**self._races)))
