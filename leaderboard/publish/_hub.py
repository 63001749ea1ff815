"""What is asked of the Hub, each with the patience that its own client lacks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile, SpaceInfo
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from leaderboard.publish._difference import Batch
from leaderboard.publish._patience import REFUSALS, Patience


@dataclass(frozen=True)
class Hub:
    """One Space, with patience."""

    api: HfApi
    """The client."""
    space: str
    """``ORG/NAME``."""
    patience: Patience
    """Of this run."""

    def find(self) -> SpaceInfo | None:
        """What is said of the Space; None where there is none, or none that may be seen."""
        while True:
            try:
                return self._ask()
            except RepositoryNotFoundError as error:
                # Without a token, and only then, 401 is the answer for what is not there.
                if error.response.status_code == 404 or get_token() is None:
                    return None
                self.patience.wait(error)
            except REFUSALS as error:
                self.patience.wait(error)

    def head(self) -> str:
        """The newest commit of a Space that is known to be there, also where the Hub does not show it yet."""
        while True:
            try:
                return str(self._ask().sha)
            except REFUSALS as error:
                self.patience.wait(error, passes=isinstance(error, RepositoryNotFoundError))

    def _ask(self) -> SpaceInfo:
        info = self.api.space_info(self.space)
        self.patience.answered()
        return info

    def files(self, commit: str) -> dict[str, RepoFile]:
        """What the Space holds at a commit, by path."""
        while True:
            try:
                tree = self.api.list_repo_tree(self.space, repo_type="space", revision=commit, recursive=True)
                return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
            except REFUSALS as error:
                self.patience.wait(error, passes=isinstance(error, RevisionNotFoundError))

    def create(self, private: bool) -> None:
        """Makes the Space; one that is there by now is as good."""
        while True:
            try:
                # Without --private an organisation's own default holds.
                self.api.create_repo(
                    self.space, repo_type="space", space_sdk="static", private=private or None, exist_ok=True
                )
                return
            except REFUSALS as error:
                self.patience.wait(error)

    def commit(self, batch: Batch, parent: str) -> str:
        """Makes one commit on top of its parent, without another attempt, and returns it; the bar shown is ours."""
        silent = are_progress_bars_disabled()
        with warnings.catch_warnings():
            # A table to download is meant to stand in this Space.
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            # Whoever has a say over the client's bars keeps it, and is warned about by the client.
            warnings.filterwarnings("ignore", message="Cannot (dis|en)able progress bars")
            disable_progress_bars()
            try:
                made = self.api.create_commit(
                    self.space,
                    batch.operations(),
                    commit_message="Update the leaderboard",
                    repo_type="space",
                    parent_commit=parent,
                )
            finally:
                if not silent:
                    enable_progress_bars()
        return str(made.oid)
