"""A checkpoint's files, of which parts are read: what lies in a folder and what lies on the Hub look the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

from lm_eval_dispersion.screen._fault import Unscreenable

Span = tuple[int, int]
"""First byte, and the one after the last."""

_GAP = 16 * 1024
"""Bytes between two parts up to which they are read as one: far less than what a request of its own takes."""
_LONGEST = 8 * 1024 * 1024
"""Bytes of a part at most, so that several are under way at once and one that fails is not much to repeat."""


@dataclass
class Meter:
    """What has been read; from several threads."""

    watch: Callable[[int], object] = lambda n: None
    """Told of the bytes of each read."""
    bytes: int = 0
    requests: int = 0
    _lock: Lock = field(default_factory=Lock)

    def count(self, n: int) -> None:
        """One read of n bytes."""
        with self._lock:
            self.bytes += n
            self.requests += 1
            self.watch(n)


class File(Protocol):
    """One file."""

    name: str
    """As a reader knows it."""
    size: int
    """In bytes."""

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """These parts, in full.

        Raises:
            Unscreenable: where it cannot be read, or ends before.
        """


class Source(Protocol):
    """The files of one checkpoint."""

    meter: Meter
    """What has been read of them."""

    @property
    def revision(self) -> str | None:
        """The commit; None for a folder."""

    @property
    def sizes(self) -> dict[str, int]:
        """By name, of those not in folders of their own."""

    def file(self, name: str) -> File:
        """One of ``sizes``."""


class LocalFile:
    """A file on this machine."""

    def __init__(self, path: Path, meter: Meter) -> None:
        self._path, self._meter = path, meter
        self.name, self.size = path.name, path.stat().st_size

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """As of ``File``."""
        try:
            with self._path.open("rb") as file:
                return [self._part(file.seek(start), file.read(end - start), end - start) for start, end in spans]
        except OSError as error:
            raise Unscreenable(f"cannot read {self.name}: {error.strerror}") from None

    def _part(self, start: int, found: bytes, wanted: int) -> bytes:
        self._meter.count(len(found))
        if len(found) < wanted:
            raise Unscreenable(f"{self.name} is truncated: it ends at byte {start + len(found):,}; copy it again")
        return found


class LocalFolder:
    """A folder on this machine."""

    revision = None

    def __init__(self, folder: Path, meter: Meter) -> None:
        self._folder, self.meter = folder, meter
        try:
            self.sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
        except OSError as error:
            raise Unscreenable(f"cannot read {folder}: {error.strerror}") from None

    def file(self, name: str) -> File:
        """As of ``Source``."""
        return LocalFile(self._folder / name, self.meter)


def read_all(file: File, most: int) -> bytes:
    """A small file.

    Raises:
        Unscreenable: for one above so many bytes, too.
    """
    if file.size > most:
        raise Unscreenable(f"{file.name} has {file.size:,} bytes, where at most {most:,} are read")
    return b"".join(file.read(pieces((0, file.size)))) if file.size else b""


def pieces(span: Span) -> list[Span]:
    """A span in parts of bounded length."""
    start, end = span
    return [(at, min(at + _LONGEST, end)) for at in range(start, end, _LONGEST)]


def read_parts(file: File, spans: Sequence[Span]) -> list[bytes]:
    """Many small parts, of which neighbours are read as one.

    Args:
        file: what to read of.
        spans: in any order; they may overlap.

    Returns:
        The bytes of each, in the order of ``spans``.
    """
    joined = list(join(spans))
    read = file.read([piece for span in joined for piece in pieces(span)])
    whole = iter(read)
    held = [(span, b"".join(next(whole) for _ in pieces(span))) for span in joined]
    found: dict[Span, bytes] = {}
    at = 0
    for span in sorted(set(spans)):
        while span[1] > held[at][0][1]:
            at += 1
        first = held[at][0][0]
        found[span] = held[at][1][span[0] - first : span[1] - first]
    return [found[span] for span in spans]


def join(spans: Iterable[Span]) -> Iterable[Span]:
    """Spans in order, those less than ``_GAP`` apart as one."""
    begun: Span | None = None
    for start, end in sorted(spans):
        if begun is not None and start - begun[1] <= _GAP:
            begun = begun[0], max(begun[1], end)
            continue
        if begun is not None:
            yield begun
        begun = start, end
    if begun is not None:
        yield begun
