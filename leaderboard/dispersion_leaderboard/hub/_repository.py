"""What is asked of the Hub about one repository, each with the patience that its own client lacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from dispersion_leaderboard.hub._patience import Patience


@dataclass(frozen=True)
class Repository:
    """One repository, with patience."""

    api: HfApi
    """The client."""
    name: str
    """``ORG/NAME``."""
    kind: str
    """``space`` or ``dataset``."""
    patience: Patience
    """Of this run."""

    def find(self) -> Any | None:
        """What is said of it (``SpaceInfo`` or ``DatasetInfo``); None where there is none, or none that may be seen."""

        def ask() -> Any | None:
            try:
                return self._ask()
            except RepositoryNotFoundError as error:
                # Without a token, and only then, 401 is the answer for what is not there.
                if error.response.status_code == 404 or get_token() is None:
                    return None
                raise

        return self.patience(ask)

    def head(self) -> str:
        """The newest commit of what is known to be there, also where the Hub does not show it yet."""
        return self.patience(lambda: str(self._ask("sha").sha), RepositoryNotFoundError)

    def _ask(self, *parts: str) -> Any:
        """All that is told, or some parts: the list of all files is long."""
        info = self.api.repo_info(self.name, repo_type=self.kind, expand=list(parts) or None)
        self.patience.answered()
        return info

    def files(self, commit: str, folder: str | None = None) -> dict[str, RepoFile]:
        """What it holds at a commit, by path; of a folder, its own files, and none where there is no such folder."""

        def ask() -> dict[str, RepoFile]:
            try:
                tree = self.api.list_repo_tree(
                    self.name, folder, repo_type=self.kind, revision=commit, recursive=folder is None
                )
                return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
            except EntryNotFoundError:
                return {}

        return self.patience(ask, RevisionNotFoundError)

    def create(self, private: bool = False) -> None:
        """Makes it; one that is there by now is as good."""
        sdk = {"space_sdk": "static"} if self.kind == "space" else {}
        # Without --private an organisation's own default holds.
        self.patience(
            lambda: self.api.create_repo(self.name, repo_type=self.kind, private=private or None, exist_ok=True, **sdk)
        )

    def commit(
        self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], parent: str, message: str
    ) -> str:
        """Makes one commit on top of its parent, without another attempt, and returns it; the bar shown is ours."""
        silent = are_progress_bars_disabled()
        with warnings.catch_warnings():
            # A table to download is meant to stand in a Space of ours.
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            # Whoever has a say over the client's bars keeps it, and is warned about by the client.
            warnings.filterwarnings("ignore", message="Cannot (dis|en)able progress bars")
            disable_progress_bars()
            try:
                made = self.api.create_commit(
                    self.name,
                    list(operations),
                    commit_message=message,
                    repo_type=self.kind,
                    parent_commit=parent,
                )
            finally:
                if not silent:
                    enable_progress_bars()
        return str(made.oid)
