"""The header of a GGUF file: its tokens, its kind of model, and where a tensor lies.

The format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): counts, metadata, a description of each tensor,
then the tensors, aligned. ``gguf.GGUFReader`` reads the same, but of a whole file on this machine alone. A header is
anyone's: nothing in it is trusted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import File

_CHUNK = 1024 * 1024
_LONGEST = 64 * 1024 * 1024
"""Bytes of a header; those of the largest vocabularies have 20 million."""
_MOST_TENSORS = 1_000_000
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_KEPT = ("general.architecture", "general.alignment", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type")


@dataclass(frozen=True)
class Described:
    """What a header says of a tensor."""

    shape: tuple[int, ...]
    """As numpy counts: rows first."""
    kind: int
    """``gguf.GGMLQuantizationType``, if there is such a one."""
    offset: int
    """From the first tensor's byte."""


@dataclass
class GgufHeader:
    """What is kept of a header."""

    metadata: dict[str, Any] = field(default_factory=dict)
    """By key: architecture and alignment, tokens (bytes) and their types."""
    tensors: dict[str, Described] = field(default_factory=dict)
    data: int = 0
    """The first tensor's byte in the file."""


def read_gguf(file: File) -> GgufHeader:
    """The header of a file.

    Raises:
        Unscreenable: where that is none.
    """
    cursor, header = _Cursor(file), GgufHeader()
    if cursor.take(4) != b"GGUF":
        raise Unscreenable(f"{file.name} is no GGUF file")
    version = cursor.scalar("<I")
    if version not in (2, 3):
        raise Unscreenable(f"{file.name} is GGUF of version {version} or of the other byte order; 2 and 3 are read")
    tensors, keys = cursor.scalar("<Q"), cursor.scalar("<Q")
    for _ in range(keys):
        key = cursor.text()
        value = cursor.value(cursor.scalar("<I"), keep=key in _KEPT)
        if key in _KEPT:
            header.metadata[key] = value
    if tensors > _MOST_TENSORS:
        raise cursor.broken()
    for _ in range(tensors):
        name, dimensions = cursor.text(), cursor.scalar("<I")
        if dimensions > 8:
            raise cursor.broken()
        shape = tuple(cursor.scalar("<Q") for _ in range(dimensions))[::-1]
        header.tensors[name] = Described(shape, cursor.scalar("<I"), cursor.scalar("<Q"))
    alignment = header.metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= 1 << 20:
        raise cursor.broken()
    header.data = -(-cursor.at // alignment) * alignment
    return header


class _Cursor:
    """Reads on, a chunk of the file at a time."""

    def __init__(self, file: File) -> None:
        self._file, self._held, self._place, self._first = file, b"", 0, 0

    @property
    def at(self) -> int:
        """The next byte."""
        return self._first + self._place

    def broken(self) -> Unscreenable:
        """What is wrong with a header that cannot be."""
        return Unscreenable(f"{self._file.name} has a broken header, near byte {self.at:,}")

    def _need(self, n: int) -> None:
        """So many bytes are held from the next on."""
        if self._place + n <= len(self._held):
            return
        if self.at + n > self._file.size:
            raise Unscreenable(f"{self._file.name} is truncated: it ends inside its header, or that is broken")
        if self.at + n > _LONGEST:
            raise Unscreenable(f"{self._file.name} is no GGUF file: its header goes on after {_LONGEST:,} bytes")
        kept, start = self._held[self._place :], self._first + len(self._held)
        end = min(self._file.size, max(start + _CHUNK, self.at + n))
        self._first, self._place = start - len(kept), 0
        self._held = kept + self._file.read([(start, end)])[0]

    def take(self, n: int) -> bytes:
        """So many bytes."""
        self._need(n)
        self._place += n
        return self._held[self._place - n : self._place]

    def skip(self, n: int) -> None:
        """Leaves out so many bytes."""
        if self.at + n > self._file.size:
            raise self.broken()
        self._place += n
        if self._place > len(self._held):
            self._first, self._held, self._place = self.at, b"", 0

    def scalar(self, form: str) -> Any:
        """A number of ``struct``'s form."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> bytes:
        """Its length, then its bytes."""
        return self.take(self.scalar("<Q"))

    def text(self) -> str:
        """A string that is a name."""
        return self.string().decode("utf-8", "replace")

    def value(self, kind: int, keep: bool, depth: int = 0) -> Any:
        """Of one of the format's types; None where it is not kept."""
        if kind == _STRING:
            text = self.text()
            return text if keep else None
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind != _ARRAY or depth > 3:
            raise self.broken()
        inner, count = self.scalar("<I"), self.scalar("<Q")
        if inner in _SCALARS:
            size = struct.calcsize(_SCALARS[inner])
            if not keep:
                self.skip(count * size)
                return None
            return [value for (value,) in struct.iter_unpack(_SCALARS[inner], self.take(count * size))]
        found = []
        for _ in range(count):
            one = self.string() if inner == _STRING else self.value(inner, keep, depth + 1)
            if keep:
                found.append(one)
        return found if keep else None
