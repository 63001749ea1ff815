"""A store in a dataset repository of the Hub."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RevisionNotFoundError,
)

from dispersion_leaderboard.hub import REFUSALS, Patience, Repository
from dispersion_leaderboard.store._races import races
from dispersion_leaderboard.store._tree import Changes, Moved, T

_AT_ONCE = 200
"""Paths asked about in one request."""
_RACES = frozenset({409, 412})
_NONCE = ".nonce"
"""In every commit, and never the same: the client drops files that are there already, and of a commit that is left
empty it says that it was made, whatever its parent."""


class _Unsure(Moved):
    """What the Hub answered, which is the cause, does not tell whether the commit stands."""


class _Cut(RuntimeError):
    """A connection that failed while a file was looked for, in the words of the client's own error."""


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
            found |= self._present(asked[start : start + _AT_ONCE], at)
        return found

    def _present(self, some: list[str], at: str) -> set[str]:
        api = self._repository.api
        entries = self._patience(
            lambda: api.get_paths_info(self.name, some, revision=at, repo_type="dataset"), RevisionNotFoundError
        )
        return {entry.path for entry in entries}

    def read(self, path: str, at: str) -> bytes | None:
        """See ``Tree``."""

        def ask() -> bytes | None:
            # Not by way of the client's cache, which would keep every version of every file.
            with tempfile.TemporaryDirectory() as folder:
                try:
                    file = self._repository.api.hf_hub_download(
                        self.name, path, repo_type="dataset", revision=at, local_dir=folder
                    )
                    return Path(file).read_bytes()
                except LocalEntryNotFoundError as error:
                    raise _Cut(str(error.__cause__ or error)) from None
                except EntryNotFoundError:
                    return None

        return self._patience(ask, (RevisionNotFoundError, _Cut))

    def download(self, paths: Collection[str], at: str) -> dict[str, bytes]:
        """See ``Tree``; several at a time, by way of the client's cache."""

        def ask() -> str:
            try:
                return str(
                    self._repository.api.snapshot_download(
                        self.name, repo_type="dataset", revision=at, allow_patterns=list(paths)
                    )
                )
            except LocalEntryNotFoundError as error:
                raise _Cut(str(error.__cause__ or error)) from None

        root = Path(self._patience(ask, (RevisionNotFoundError, _Cut)))
        places = {path: root / path for path in paths}
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
            if isinstance(error, HfHubHTTPError) and error.response.status_code in _RACES:
                raise Moved from error
            # A 5xx or a cut connection does not tell whether the commit stands: whoever reads again will see.
            self._patience.demand_passing(error)
            raise _Unsure from error
        self._go_on_to(made)
        return made

    def on_newest(self, attempt: Callable[[str], T]) -> T:
        """See ``Tree``."""
        race = races(self.name)
        retrying = self._patience.retrying(lambda error: isinstance(error, _Unsure))
        return retrying(lambda: race(lambda: attempt(self.head())))

    def _go_on_to(self, head: str) -> None:
        if self._head and head != self._head:
            self._overtaken.add(self._head)
        self._head = head
