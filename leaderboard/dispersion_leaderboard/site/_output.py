"""The folder of pages: written beside and renamed, what has not changed left alone, what is gone removed."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any


class Output:
    """Collects what a build makes, so that the folder holds that and nothing else afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: set[str] = set()

    def write(self, path: str, content: str | bytes) -> None:
        """Puts a file at a path below the folder.

        Raises:
            ValueError: for a path that leaves the folder; names never make paths, so this is a bug of ours.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"{path!r} leaves the output")
        self.made.add(path)
        data = content.encode() if isinstance(content, str) else content
        file = self.folder / pure
        if file.is_file() and file.stat().st_size == len(data) and file.read_bytes() == data:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.new")
        beside.write_bytes(data)
        beside.replace(file)

    def place(self, path: str) -> Path:
        """Where a file that something else writes belongs; it counts as made."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        self.made.add(path)
        return file

    def keep(self, path: str) -> bool:
        """Counts a file of an earlier build as made, if it is there."""
        if not (self.folder / path).is_file():
            return False
        self.made.add(path)
        return True

    def remove_the_rest(self) -> None:
        """Takes away what this build did not make; hidden files are not ours."""
        for file in sorted(self.folder.rglob("*"), reverse=True):
            path = file.relative_to(self.folder)
            if any(part.startswith(".") for part in path.parts) and not path.name.endswith(".new"):
                continue
            if file.is_dir():
                if not any(file.iterdir()):
                    file.rmdir()
            elif path.as_posix() not in self.made:
                file.unlink()


def script(name: str, value: Any) -> str:
    """A value as a script file: pages opened from a file may load scripts, but not fetch JSON."""
    return f"window.{name}={json.dumps(value, separators=(',', ':'), allow_nan=False)};\n"


def script_item(name: str, key: str, value: Any) -> str:
    """One item of an object that several script files fill."""
    item = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"(window.{name}=window.{name}||{{}})[{json.dumps(key)}]={item};\n"
