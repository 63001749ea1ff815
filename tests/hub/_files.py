"""A tree of files that shares with the next commit's whatever that leaves alone, as git's trees do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hub._blob import Blob

Folder = dict[str, Any]
"""Blobs and folders by name; never changed once it is part of a commit."""


class Files(Mapping[str, Blob]):
    """Blobs by path. A commit of a few files costs the folders on their paths, however many files there are."""

    def __init__(self, files: Mapping[str, Blob] | None = None) -> None:
        self._root: Folder = {}
        self._count = 0
        if files:
            self._root, self._count = _changed(self._root, files)

    def changed(self, changes: Mapping[str, Blob | None]) -> Files:
        """The tree with new blobs, and without those for which there is None."""
        made = Files()
        made._root, added = _changed(self._root, changes)
        made._count = self._count + added
        return made

    def at(self, path: str) -> Blob | Folder | None:
        """The file or folder of this name."""
        node: Any = self._root
        for name in path.split("/") if path else ():
            node = node.get(name) if isinstance(node, dict) else None
        return node  # type: ignore[no-any-return]

    def walk(self, folder: str = "", recursive: bool = True) -> Iterator[tuple[str, Blob | Folder]]:
        """What lies in a folder, by name, each folder before what is in it."""
        found = self.at(folder)
        prefix = f"{folder}/" if folder else ""
        for name in sorted(found) if isinstance(found, dict) else ():
            node = found[name]  # type: ignore[index]
            yield prefix + name, node
            if recursive and isinstance(node, dict):
                yield from self.walk(prefix + name)

    def __getitem__(self, path: str) -> Blob:
        found = self.at(path)
        if not isinstance(found, Blob):
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        return (path for path, node in self.walk() if isinstance(node, Blob))

    def __len__(self) -> int:
        return self._count

    def items(self) -> Any:
        """Without looking each path up again."""
        return ((path, node) for path, node in self.walk() if isinstance(node, Blob))


def _changed(folder: Folder, changes: Mapping[str, Blob | None]) -> tuple[Folder, int]:
    """A new folder, and how many files it has more."""
    made, added = dict(folder), 0
    deeper: dict[str, dict[str, Blob | None]] = {}
    for path, blob in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            deeper.setdefault(name, {})[rest] = blob
            continue
        added += (blob is not None) - isinstance(made.get(name), Blob)
        if blob is None:
            made.pop(name, None)
        else:
            made[name] = blob
    for name, inside in deeper.items():
        held = made.get(name)
        below, more = _changed(held if isinstance(held, dict) else {}, inside)
        added += more - isinstance(held, Blob)
        if below:
            made[name] = below
        else:
            made.pop(name, None)
    return made, added
