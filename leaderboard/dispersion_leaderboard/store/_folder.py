"""A store in a folder of this machine (or one that several machines share)."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Collection
from hashlib import sha1
from pathlib import Path, PurePosixPath

from filelock import FileLock

from dispersion_leaderboard.store._races import races
from dispersion_leaderboard.store._tree import Changes, Moved, T

_VERSION = ".version"


class FolderTree:
    """See ``Tree``; a version is a number, and one commit is made at a time, under a lock.

    A commit is a series of files, each of which is there whole or not at all: whoever is killed in between leaves some
    of them unwritten, and a version that has moved.

    Args:
        folder: made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self.local = True
        self.commits_per_hour = math.inf
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")

    def head(self) -> str:
        """See ``Tree``."""
        try:
            return (self._folder / _VERSION).read_text(encoding="utf-8")
        except FileNotFoundError:
            return "0"

    def files(self, folder: str, at: str) -> dict[str, str]:
        """See ``Tree``."""
        place = self._place(folder)
        found = sorted(file for file in place.iterdir() if file.is_file()) if place.is_dir() else []
        return {f"{folder}/{file.name}": sha1(file.read_bytes()).hexdigest() for file in found if _shown(file)}

    def present(self, paths: Collection[str], at: str) -> set[str]:
        """See ``Tree``."""
        return {path for path in paths if self._place(path).exists()}

    def read(self, path: str, at: str) -> bytes | None:
        """See ``Tree``."""
        try:
            return self._place(path).read_bytes()
        except FileNotFoundError:
            return None

    def download(self, paths: Collection[str], at: str) -> dict[str, bytes]:
        """See ``Tree``."""
        found = {path: self.read(path, at) for path in paths}
        return {path: content for path, content in found.items() if content is not None}

    def commit(self, changes: Changes, parent: str, message: str) -> str:
        """See ``Tree``."""
        with self._lock:
            if self.head() != parent:
                raise Moved
            # Before and after: whoever reads in between, or has read some files before, cannot build on that.
            self._write(_VERSION, str(int(parent) + 1).encode())
            for path, content in changes.items():
                if content is None:
                    self._place(path).unlink(missing_ok=True)
                else:
                    self._write(path, content)
            head = str(int(parent) + 2)
            self._write(_VERSION, head.encode())
        return head

    def on_newest(self, attempt: Callable[[str], T]) -> T:
        """See ``Tree``."""
        return races(self.name)(lambda: attempt(self.head()))

    def _place(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or PurePosixPath(path).is_absolute():
            raise ValueError(f"{path!r} is no path in a store")
        return self._folder.joinpath(*parts)

    def _write(self, path: str, content: bytes) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=place.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(place)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise


def _shown(file: Path) -> bool:
    return not file.name.startswith(".")
