"""A file's content, in memory or on disk, with what names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import new, sha1, sha256
from pathlib import Path

CHUNK = 1024 * 1024
"""Bytes of a file on disk that are held at once."""


@dataclass(frozen=True)
class Blob:
    """A file's content; nothing is hashed twice."""

    source: bytes | Path
    """Its bytes, or a file that holds them and does not change."""
    large: bool = False
    """Stored beside git (LFS), which then holds a pointer only."""
    lie: int | None = None
    """The size that is told, where it is not the true one."""

    @cached_property
    def size(self) -> int:
        """In bytes, as served."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @property
    def told_size(self) -> int:
        """In bytes, as said in trees and infos."""
        return self.size if self.lie is None else self.lie

    @property
    def content(self) -> bytes:
        """All of it."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """A part of it, in pieces."""
        if isinstance(self.source, bytes):
            yield self.source[start:end]
            return
        with self.source.open("rb") as file:
            file.seek(start)
            while start < end and (piece := file.read(min(CHUNK, end - start))):
                start += len(piece)
                yield piece

    @cached_property
    def sha256(self) -> str:
        """Names a large file."""
        if isinstance(self.source, bytes):
            return sha256(self.source).hexdigest()
        return _digest("sha256", self.source, self.size, self.source.stat().st_mtime_ns)

    @property
    def pointer(self) -> bytes:
        """What git holds of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @cached_property
    def oid(self) -> str:
        """Git's name of what git holds."""
        held = self.pointer if self.large else self.source
        if isinstance(held, bytes):
            return sha1(b"blob %d\0" % len(held) + held).hexdigest()
        return _digest("sha1", held, self.size, held.stat().st_mtime_ns, b"blob %d\0" % self.size)

    @property
    def known_as(self) -> str:
        """By what the client compares it with its own file."""
        return self.sha256 if self.large else self.oid


@lru_cache
def _digest(algorithm: str, file: Path, size: int, changed: int, head: bytes = b"") -> str:
    # The size and the time are there so that a file that was written anew is read anew.
    del size, changed
    digest = new(algorithm, head)
    with file.open("rb") as content:
        while piece := content.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
