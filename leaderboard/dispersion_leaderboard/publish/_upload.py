"""What differs to a Space, in commits that may fail, and seen to have arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NoReturn

from huggingface_hub.hf_api import RepoFile
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential
from tqdm import tqdm

from dispersion_leaderboard.hub import REFUSALS, Refused, Repository, may_be_too_large
from dispersion_leaderboard.publish._difference import Batch, Difference, SiteFile, difference

FILES = 1000
"""In one commit at most, halved whenever one fails that may have been too large.

The Hub's documentation recommends fewer than 100 and its client goes up to this many; it allows about 128 commits an
hour, and a site has thousands of pages.
"""
_FEWEST = 50
_ROUNDS = 5


def synchronise(
    hub: Repository, files: Sequence[SiteFile], head: str, there: dict[str, RepoFile], bar: tqdm[NoReturn]
) -> None:
    """Rounds of commits, until the Space is seen to hold what was uploaded.

    Args:
        hub: the Space.
        files: what it is to hold.
        head: a commit of it.
        there: what it holds at that commit.
        bar: of bytes.

    Raises:
        Refused: where the Hub does not take it, or does not keep it.
    """

    def give_up(state: RetryCallState) -> NoReturn:
        assert state.outcome
        changes = state.outcome.result()
        some = (*(file.path for file in changes.upload), *changes.delete)[0]
        raise Refused(f"{hub.name} does not keep what is uploaded, such as {some}; does another job write to it?")

    Retrying(
        retry=retry_if_result(bool),
        wait=wait_exponential(multiplier=2),
        stop=stop_after_attempt(_ROUNDS),
        retry_error_callback=give_up,
    )(_Upload(hub, files, head, there, bar).round)


class _Upload:
    """What the Space is known to hold, and what is still to be committed."""

    def __init__(
        self, hub: Repository, files: Sequence[SiteFile], head: str, there: dict[str, RepoFile], bar: tqdm[NoReturn]
    ) -> None:
        self._hub, self._files, self._bar = hub, files, bar
        self._head, self._there = head, there
        self._most = FILES
        self._batches: deque[Batch] = deque()
        self._unsure = False

    def round(self) -> Difference:
        """Commits all that differs, and returns what is seen to differ still."""
        self._plan()
        while self._batches:
            self._hub.patience(self._commit)
        # The client leaves out files that the Hub has, and a commit that is left empty succeeds whatever its parent:
        # so a success is looked at too. It is by its own commit, for what `main` is said to be can lag behind.
        self._there = self._hub.files(self._head)
        return difference(self._files, self._there)

    def _plan(self) -> None:
        changes = difference(self._files, self._there)
        self._batches = deque(changes.batches(self._most) if changes else ())
        self._bar.total = self._bar.n + changes.bytes

    def _commit(self) -> None:
        """Commits the next of them; called again after a failure that may pass."""
        if self._unsure:
            # The last commit may stand all the same: what is there decides what is still to do.
            self._head = self._hub.head()
            self._there = self._hub.files(self._head)
            self._plan()
            self._unsure = False
        if not self._batches:
            return
        try:
            self._head = self._hub.commit(self._batches[0].operations(), self._head, "Update the leaderboard")
        except REFUSALS as error:
            self._unsure = True
            if may_be_too_large(error):
                self._most = max(self._most // 2, _FEWEST)
            raise
        self._bar.update(self._batches.popleft().bytes)
