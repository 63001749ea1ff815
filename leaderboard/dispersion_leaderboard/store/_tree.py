"""A store: a tree of small files with a head, which is changed by commits on top of the head one has read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeVar

T = TypeVar("T")

Changes = Mapping[str, bytes | None]
"""New contents by path, in the order in which they are written; None deletes."""


class Moved(Exception):
    """Somebody else's commit came first, or it is not known whether one's own has landed: read again, and look."""


class Tree(Protocol):
    """What a queue and a store of results are kept in."""

    name: str
    """As a person calls it."""
    local: bool
    """Whether it lies on this machine, so that whoever writes to it has this machine's files anyway."""
    commits_per_hour: float
    """How many it takes from all who write to it together."""

    def head(self) -> str:
        """The newest version. It may be told late; a commit on top of a version that is not the newest is refused."""
        ...

    def files(self, folder: str, at: str) -> dict[str, str]:
        """Paths of the files in a folder, not below it, with a name of each one's content."""
        ...

    def present(self, paths: Collection[str], at: str) -> set[str]:
        """Which of these folders or files there are."""
        ...

    def read(self, path: str, at: str) -> bytes | None:
        """A file's content; None where there is none."""
        ...

    def download(self, paths: Collection[str], at: str) -> dict[str, bytes]:
        """The contents of many files, by path; of those that there are."""
        ...

    def commit(self, changes: Changes, parent: str, message: str) -> str:
        """Makes a new head on top of its parent, and returns it.

        Raises:
            Moved: where the parent is not the head, or another commit is being made, or the answer got lost.
        """
        ...

    def on_newest(self, attempt: Callable[[str], T]) -> T:
        """What an attempt to commit gives, which is made again for as long as it ends as ``Moved``.

        Args:
            attempt: given the head, reads, decides and commits; what it has committed before may stand although it
                ended so.

        Raises:
            Refused: after so many attempts that something else must be wrong.
        """
        ...
