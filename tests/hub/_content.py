"""A repository: files at commits, in the Hub's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from fnmatch import fnmatch
from functools import cached_property
from hashlib import sha1
from itertools import islice
from threading import Lock
from typing import Any

import yaml

from hub._blob import Blob
from hub._files import Files

LARGE = 10 * 1024 * 1024
"""From so many bytes on, a file is stored as a large one whatever its name."""


def stamp(when: datetime | None = None) -> str:
    """As the Hub writes times; now, where none is given."""
    when = (when or datetime.now(timezone.utc)).astimezone(timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Commit:
    """The whole tree after one commit."""

    oid: str
    """Forty hexadecimal digits."""
    title: str
    """The first line of its message."""
    files: Files
    """By path."""
    when: str = field(default_factory=stamp)
    """It was made."""
    expired: bool = False
    """Whether its tree is no longer held."""

    def tree(self, folder: str, recursive: bool, start: int, end: int) -> list[dict[str, Any]]:
        """A part of what lies in a folder ("" for the root)."""
        found = self.files.walk(folder, recursive)
        return [_entry(path, node) for path, node in islice(found, start, end)]

    def entry(self, path: str) -> dict[str, Any] | None:
        """A file, or else a folder; None where there is neither."""
        node = self.files.at(path)
        return None if node is None else _entry(path, node)

    def siblings(self, sizes: bool) -> Iterator[dict[str, Any]]:
        """The files as the answer about the repository lists them."""
        for path, blob in self.files.items():
            told: dict[str, Any] = {"rfilename": path}
            if sizes:
                told |= {"size": blob.told_size, "blobId": blob.oid}
                if blob.large:
                    told["lfs"] = {"sha256": blob.sha256, "size": blob.told_size, "pointerSize": len(blob.pointer)}
            yield told

    @cached_property
    def card(self) -> dict[str, Any]:
        """The front matter of the README."""
        try:
            return front_matter(self.files["README.md"].content) if "README.md" in self.files else {}
        except (yaml.YAMLError, UnicodeDecodeError):
            return {}

    @cached_property
    def _large_names(self) -> list[str]:
        rules = self.files[".gitattributes"].content.decode().splitlines() if ".gitattributes" in self.files else []
        return [rule.split()[0] for rule in rules if "filter=lfs" in rule]

    def is_large(self, path: str, size: int) -> bool:
        """Whether a file would be stored as a large one."""
        return size >= LARGE or any(fnmatch(path.rpartition("/")[2], pattern) for pattern in self._large_names)


@dataclass
class Repository:
    """One repository with its only branch."""

    commits: list[Commit]
    """Oldest first; the last is what ``main`` means."""
    private: bool = False
    """Whether only a writer sees it."""
    sdk: str | None = None
    """Of a Space."""
    stored: dict[str, Blob] = field(default_factory=dict)
    """Large files that were uploaded, by SHA-256, committed or not."""
    writing: Lock = field(default_factory=Lock)
    """Held while a commit is made: the Hub makes one at a time."""
    gated: bool | str = False
    """False, ``auto`` or ``manual``: whether files go only to those who were let in."""
    readers: set[str] = field(default_factory=set)
    """The tokens that were let into a gated repository, beside its writers'."""
    refs: dict[str, str] = field(default_factory=dict)
    """Commits by the names of other branches and of tags."""
    tags: tuple[str, ...] = ()
    """Of a model, beside those that the Hub finds by itself."""
    pipeline_tag: str | None = None
    """Of a model, where its card says nothing."""
    downloads: int = 0
    """Of the last month."""
    likes: int = 0
    """So many people like it."""
    created: str = field(default_factory=stamp)
    """When."""

    @property
    def head(self) -> Commit:
        """The newest commit."""
        return self.commits[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """The newest commit's contents."""
        return {path: blob.content for path, blob in self.head.files.items()}

    def at(self, revision: str) -> Commit | None:
        """The commit that a revision means."""
        if revision == "main":
            return self.head
        oid = self.refs.get(revision, revision)
        return next((commit for commit in reversed(self.commits) if commit.oid == oid), None)

    def commit(self, title: str, changes: Mapping[str, Blob | None], oid: str = "", when: str = "") -> Commit:
        """Adds a commit; None deletes a file."""
        files, parent = (self.head.files, self.head.oid) if self.commits else (Files(), "")
        made_up = sha1(f"{parent}{len(self.commits)}{title}".encode())
        for path, blob in sorted(changes.items()):
            made_up.update(f"{path}{blob.oid if blob else ''}".encode())
        made = Commit(oid or made_up.hexdigest(), title, files.changed(changes), when or stamp())
        self.commits.append(made)
        return made

    def change(self, title: str, files: Mapping[str, bytes | None]) -> Commit:
        """Somebody else's commit: new contents by path; None deletes."""
        return self.commit(title, {path: None if held is None else Blob(held) for path, held in files.items()})

    def forget(self, kept: int) -> None:
        """Lets the trees of all but the last so many commits go."""
        for place in range(len(self.commits) - kept - 1, -1, -1):
            if self.commits[place].expired:
                return
            self.commits[place] = replace(self.commits[place], files=Files(), expired=True)


def _entry(path: str, node: Blob | dict[str, Any]) -> dict[str, Any]:
    if isinstance(node, dict):
        return {"type": "directory", "path": path, "oid": sha1(path.encode()).hexdigest(), "size": 0}
    entry: dict[str, Any] = {"type": "file", "path": path, "size": node.told_size, "oid": node.oid}
    if node.large:
        entry["lfs"] = {"oid": node.sha256, "size": node.told_size, "pointerSize": len(node.pointer)}
    return entry


def front_matter(readme: bytes) -> dict[str, Any]:
    """The YAML at the head of a README; empty where there is none."""
    parts = readme.decode().split("---\n", 2)
    return yaml.safe_load(parts[1]) or {} if len(parts) == 3 and not parts[0] else {}
