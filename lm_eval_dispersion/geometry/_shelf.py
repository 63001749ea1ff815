"""Sums of vectors: in memory while a process has few of them, and beyond that in a temporary file without a name.

The file lies where ``tempfile`` puts it (``TMPDIR``), and what is in it takes memory only while the system has no
better use for that; a TMPDIR on a tmpfs is memory. The numbers are the same to the bit. Where the file cannot be made
or its disk is full, sums stay in memory, and a warning says so.
"""

from __future__ import annotations

import tempfile
import warnings
import weakref
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Place = tuple[int, int]  # in the file: the first byte, and how many

# Bytes that the sums of a process may take in memory, all together.
_BUDGET = 256 * 2**20


class _Room:
    """What the shelves of a process take."""

    def __init__(self) -> None:
        self.memory = 0
        self._file: Any = None
        self._end = self._filed = 0
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        """By size: where the file has room again."""

    def file(self, array: Array) -> Place:
        """Writes an array that is not in the file yet."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        size = array.nbytes
        first = self._free[size].pop() if self._free[size] else self._end
        self._end, self._filed = max(self._end, first + size), self._filed + 1
        try:
            self.write((first, size), array)
        except OSError:
            self._leave((first, size))
            raise
        return first, size

    def write(self, place: Place, array: Array) -> None:
        self._file.seek(place[0])
        if self._file.write(array.data) < array.nbytes:
            raise OSError("the disk is full")

    def read(self, first: int, shape: tuple[int, ...]) -> Array:
        array = np.empty(shape, np.float32)
        self._file.seek(first)
        self._file.readinto(array.data)
        return array

    def give_back(self, here: dict[int, Array], filed: dict[int, Place]) -> None:
        """Forgets a shelf's arrays."""
        self.memory -= sum(array.nbytes for array in here.values())
        for place in filed.values():
            self._leave(place)

    def _leave(self, place: Place) -> None:
        self._free[place[1]].append(place[0])
        self._filed -= 1
        if not self._filed:  # so that the disk has its room back
            self._file.close()
            self._file, self._end = None, 0
            self._free.clear()


_room = _Room()


class Shelf:
    """Sums by number, each [layers, d]."""

    def __init__(self) -> None:
        self._here: dict[int, Array] = {}
        self._filed: dict[int, Place] = {}
        self._shape = (0, 0)
        weakref.finalize(self, _room.give_back, self._here, self._filed)

    def __reduce__(self) -> tuple[Any, ...]:
        """With its numbers: another process has its own room for them."""
        return _shelf_of, ({number: self[number] for number in (*self._here, *self._filed)},)

    def __getitem__(self, number: int) -> Array:
        """[layers, d], not to be changed."""
        return self._here[number] if number in self._here else _room.read(self._filed[number][0], self._shape)

    def layer(self, number: int, layer: int) -> Array:
        """[d]; of a sum that is in the file nothing else is read."""
        if number in self._here:
            return self._here[number][layer]
        return _room.read(self._filed[number][0] + layer * self._shape[1] * 4, self._shape[1:])

    def add(self, number: int, array: NDArray[Any]) -> None:
        """Adds [layers, d] to a sum, or begins it."""
        if number in self._here:
            self._here[number] += array
        elif number in self._filed:
            total = self[number]
            total += array
            self._file_again(number, total)
        else:
            self._begin(number, np.array(array, dtype=np.float32, order="C"))

    def _begin(self, number: int, total: Array) -> None:
        self._shape = total.shape
        if _room.memory + total.nbytes > _BUDGET:
            try:
                self._filed[number] = _room.file(total)
            except OSError as error:
                _warn(error)
            else:
                return
        self._keep(number, total)

    def _file_again(self, number: int, total: Array) -> None:
        try:
            _room.write(self._filed[number], total)
        except OSError as error:  # file systems that copy on write need room even for this
            _warn(error)
            _room.give_back({}, {number: self._filed.pop(number)})
            self._keep(number, total)

    def _keep(self, number: int, total: Array) -> None:
        self._here[number] = total
        _room.memory += total.nbytes


def _shelf_of(arrays: dict[int, Array]) -> Shelf:
    shelf = Shelf()
    for number, array in arrays.items():
        shelf.add(number, array)
    return shelf


def _warn(error: OSError) -> None:
    warnings.warn(
        f"sums of vectors stay in memory, {_BUDGET // 2**20} MiB and more: they cannot be put into a temporary file "
        f"({error}); TMPDIR names its folder",
        RuntimeWarning,
        stacklevel=2,
    )
