"""Waiting after a lost race: a random while, longer each time, so that those who lost do not meet again."""

from __future__ import annotations

from typing import NoReturn

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.store._tree import Moved

_MOST = 200


def races(store: str) -> Retrying:
    """Calls again what somebody else's commit has come before, and raises ``Refused`` after too many of them.

    Args:
        store: as a person calls it.
    """

    def give_up(_: RetryCallState) -> NoReturn:
        raise Refused(f"{store} was changed by others {_MOST} times in a row; try again later", after=300)

    return Retrying(
        # Not the subclasses: what has become of a commit is not known then, which is no race.
        retry=retry_if_exception(lambda error: type(error) is Moved),
        wait=wait_random_exponential(multiplier=0.5, max=20),
        stop=stop_after_attempt(_MOST),
        retry_error_callback=give_up,
    )
