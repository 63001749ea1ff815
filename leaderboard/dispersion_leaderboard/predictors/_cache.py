"""What was computed before from the same inputs by the same code is read, not computed again."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import joblib

T = TypeVar("T")


@lru_cache(maxsize=1)
def _code() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    libraries = [version(name) for name in ("numpy", "scipy", "scikit-learn", "statsmodels", "mapie")]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files) + " ".join(libraries).encode()).hexdigest()


class Cache:
    """Results by a hash of function, inputs, code and libraries' versions, one file each.

    A folder belongs to one benchmark; what a run did not ask for is removed when it ends, so it does not grow.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def call(self, function: Callable[..., T], *inputs: object) -> T:
        """``function(*inputs)``; the inputs are compared by their content."""
        if self._folder is None:
            return function(*inputs)
        name = self.name(function, *inputs)
        found: T | None = self.read(name)
        if found is None:
            found = function(*inputs)
            self.write(name, found)
        return found

    def name(self, function: Callable[..., object], *inputs: object) -> str:
        """Names a function's result on these inputs."""
        return str(joblib.hash((function.__module__, function.__qualname__, _code(), inputs), hash_name="sha1"))

    def read(self, name: str) -> Any:
        """What was written under a name; None where there is nothing that can be read."""
        if self._folder is None:
            return None
        path = self._folder / f"{name}.pickle"
        self._used.add(path.name)
        try:
            return pickle.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except Exception:
            # A file cut short, or of another Python: whatever it holds, the answer can be had again.
            path.unlink(missing_ok=True)
            return None

    def write(self, name: str, found: object) -> None:
        """Keeps a result; beside and renamed, so that no half of one is ever read."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / f"{name}.{os.getpid()}"
        beside.write_bytes(pickle.dumps(found))
        beside.replace(self._folder / f"{name}.pickle")

    def forget_the_rest(self) -> None:
        """Removes what was not asked for."""
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in self._used:
                    path.unlink(missing_ok=True)
