"""However many sums a process has, their memory is bounded, and their numbers are the same."""

from __future__ import annotations

import gc
import pickle
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lm_eval_dispersion.geometry import GROUPS, Pairs, _shelf

LAYERS, D = 4, 250
SIZE = LAYERS * D * 4  # bytes of one sum: 4 kB
Budget = Callable[[int], None]
OPEN = tempfile.TemporaryFile


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Budget:
    """Sets how many bytes of sums may be in memory, beside those of others that are there already."""
    gc.collect()
    monkeypatch.setattr(_shelf, "_BUDGET", _shelf._room.memory)
    return lambda size: monkeypatch.setattr(_shelf, "_BUDGET", _shelf._room.memory + size)


def filled(seed: int, documents: int = 150, dtype: Any = np.float32) -> Pairs:
    """Three documents in each of the 50 groups: 200 kB."""
    rng = np.random.default_rng(seed)
    pairs = Pairs()
    for document in range(documents):
        total = rng.standard_normal((LAYERS, D)).astype(dtype)
        pairs.add(document, total / np.linalg.norm(total, axis=1, keepdims=True), np.ones(LAYERS, np.int64))
    return pairs


def numbers(pairs: Pairs) -> list[NDArray[Any]]:
    return [*pairs.dispersion(), pairs.count, *(number for group in pairs.groups() for number in group[1:])]


def equal(some: list[NDArray[Any]], others: list[NDArray[Any]]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_beyond_the_budget_are_the_same_to_the_bit(budget: Budget, dtype: Any) -> None:
    budget(10 * 2**20)
    plain = numbers(filled(0, dtype=dtype))
    for room in (0, 7 * SIZE, 10 * 2**20):
        budget(room)
        assert equal(numbers(filled(0, dtype=dtype)), plain)


def test_memory_is_bounded_however_many_tasks_there_are(budget: Budget) -> None:
    budget(2**20)
    tracemalloc.start()
    tasks = [filled(seed) for seed in range(20)]
    merged = Pairs()
    for pairs in tasks:
        merged.merge(pairs)
        pairs.dispersion()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 20 * GROUPS * SIZE == 4_000_000
    assert held < 1.5 * 2**20 and peak < 2 * 2**20
    assert merged.count.tolist() == [20 * 150] * LAYERS


def test_what_is_dropped_gives_its_room_back(budget: Budget) -> None:
    budget(60 * SIZE)
    before = _shelf._room.memory
    first, second, other = filled(1), filled(2), filled(7)
    assert _shelf._room.memory == before + 60 * SIZE and _shelf._room._end == 90 * SIZE
    del second
    third = filled(3)  # where the second one was
    assert _shelf._room.memory == before + 60 * SIZE and _shelf._room._end == 90 * SIZE
    assert equal(numbers(third), numbers(filled(3))) and equal(numbers(other), numbers(filled(7)))
    del first, other
    assert _shelf._room.memory == before + 10 * SIZE
    del third
    assert _shelf._room.memory == before and _shelf._room._file is None


def test_another_process_gets_all_of_it(budget: Budget) -> None:
    budget(20 * SIZE)
    pairs = filled(4)
    plain = numbers(pairs)
    sent = pickle.dumps(pairs)
    del pairs
    received = pickle.loads(sent)
    assert equal(numbers(received), plain)
    received.merge(pickle.loads(pickle.dumps(Pairs())))
    assert equal(numbers(received), plain)


def test_the_file_lies_in_tmpdir_without_a_name(
    budget: Budget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pairs = filled(5)
    assert not list(tmp_path.iterdir()) and _shelf._room._end == GROUPS * SIZE
    assert pairs.count.tolist() == [150] * LAYERS


class Full:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, room: int) -> None:
        self._inner, self._room = OPEN(buffering=0), room

    def write(self, data: Any) -> int:
        wanted = memoryview(data).nbytes
        written = min(wanted, self._room)
        self._room -= written
        if not written:
            raise OSError(28, "No space left on device")
        return self._inner.write(memoryview(data).cast("B")[:written])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("room", [-1, 0, 10 * SIZE + 1, 50 * SIZE, 70 * SIZE + 1])
def test_a_full_disk_costs_memory_and_no_numbers(budget: Budget, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or none to write on, or one that is full when a sum is written again."""
    plain = numbers(filled(6))

    def open_file(**_: Any) -> Full:
        if room < 0:
            raise FileNotFoundError(2, "No usable temporary directory found")
        return Full(room)

    monkeypatch.setattr(tempfile, "TemporaryFile", open_file)
    before = _shelf._room.memory
    with pytest.warns(RuntimeWarning, match=r"stay in memory.*TMPDIR"):
        pairs = filled(6)
    assert _shelf._room.memory > before
    assert equal(numbers(pairs), plain)
    del pairs
    assert _shelf._room.memory == before and _shelf._room._file is None
