"""A store in a dataset repository of the Hub."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RevisionNotFoundError,
)

from dispersion_leaderboard.hub import REFUSALS, Patience, Repository
from dispersion_leaderboard.store._tree import Changes, Moved

_AT_ONCE = 200
"""Paths asked about in one request."""
_RACES = frozenset({409, 412})
_NONCE = ".nonce"
"""In every commit, and never the same: the client drops files that are there already, and of a commit that is left
empty it says that it was made, whatever its parent."""


class HubTree:
    """See ``Tree``; a version is a commit. Every method raises ``Refused`` where patience does not help.

    Args:
        name: ``ORG/NAME``.
        commits_per_hour: what the Hub takes.
    """

    def __init__(self, name: str, commits_per_hour: float) -> None:
        api = HfApi()
        self.name = name
        self.local = False
        self.commits_per_hour = commits_per_hour
        self._patience = Patience(name, api.endpoint)
        self._repository = Repository(api, name, "dataset", self._patience)
        # A head is told late now and then: one that has been seen to be overtaken is not believed again.
        self._head = ""
        self._overtaken: set[str] = set()

    def exists(self) -> bool:
        """Whether there is such a repository, which may be seen."""
        return self._repository.find() is not None

    def create(self) -> None:
        """Makes it where it is missing."""
        self._repository.create()

    def head(self) -> str:
        """See ``Tree``."""
        told = self._repository.head()
        if told not in self._overtaken:
            self._go_on_to(told)
        return self._head

    def files(self, folder: str, at: str) -> dict[str, str]:
        """See ``Tree``."""
        return {path: str(file.blob_id) for path, file in self._repository.files(at, folder).items()}

    def present(self, paths: Collection[str], at: str) -> set[str]:
        """See ``Tree``."""
        asked = sorted(paths)
        found: set[str] = set()
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            while True:
                try:
                    entries = self._repository.api.get_paths_info(self.name, some, revision=at, repo_type="dataset")
                    break
                except REFUSALS as error:
                    self._patience.wait(error, passes=isinstance(error, RevisionNotFoundError))
            found |= {entry.path for entry in entries}
        return found

    def read(self, path: str, at: str) -> bytes | None:
        """See ``Tree``."""
        while True:
            # Not by way of the client's cache, which would keep every version of every file.
            with tempfile.TemporaryDirectory() as folder:
                try:
                    file = self._repository.api.hf_hub_download(
                        self.name, path, repo_type="dataset", revision=at, local_dir=folder
                    )
                    return Path(file).read_bytes()
                except LocalEntryNotFoundError as error:
                    self._patience.wait(RuntimeError(str(error.__cause__ or error)), passes=True)
                except EntryNotFoundError:
                    return None
                except REFUSALS as error:
                    self._patience.wait(error, passes=isinstance(error, RevisionNotFoundError))

    def download(self, paths: Collection[str], at: str) -> dict[str, bytes]:
        """See ``Tree``; several at a time, by way of the client's cache."""
        while True:
            try:
                root = self._repository.api.snapshot_download(
                    self.name, repo_type="dataset", revision=at, allow_patterns=list(paths)
                )
                break
            except LocalEntryNotFoundError as error:
                self._patience.wait(RuntimeError(str(error.__cause__ or error)), passes=True)
            except REFUSALS as error:
                self._patience.wait(error, passes=isinstance(error, RevisionNotFoundError))
        places = {path: Path(root) / path for path in paths}
        return {path: place.read_bytes() for path, place in places.items() if place.is_file()}

    def commit(self, changes: Changes, parent: str, message: str) -> str:
        """See ``Tree``."""
        operations = [
            CommitOperationDelete(path, is_folder=False) if content is None else CommitOperationAdd(path, content)
            for path, content in ({**changes, _NONCE: secrets.token_bytes(16).hex().encode()}).items()
        ]
        try:
            made = self._repository.commit(operations, parent, message)
        except REFUSALS as error:
            if not (isinstance(error, HfHubHTTPError) and error.response.status_code in _RACES):
                # A 5xx or a cut connection does not tell whether the commit stands: whoever reads again will see.
                self._patience.wait(error)
            raise Moved from error
        self._patience.progressed()
        self._go_on_to(made)
        return made

    def _go_on_to(self, head: str) -> None:
        if self._head and head != self._head:
            self._overtaken.add(self._head)
        self._head = head
