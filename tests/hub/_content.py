"""A repository: files at commits, in the Hub's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from hashlib import sha1, sha256
from threading import Lock
from typing import Any

import yaml

LARGE = 10 * 1024 * 1024
"""From so many bytes on, a file is stored as a large one whatever its name."""


@dataclass(frozen=True)
class Blob:
    """A file's content."""

    content: bytes
    """Its bytes."""
    large: bool = False
    """Stored beside git (LFS), which then holds a pointer only."""

    @property
    def sha256(self) -> str:
        """Names a large file."""
        return sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git holds of a large file."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def oid(self) -> str:
        """Git's name of what git holds."""
        held = self.pointer if self.large else self.content
        return sha1(b"blob %d\0" % len(held) + held).hexdigest()

    @property
    def known_as(self) -> str:
        """By what the client compares it with its own file."""
        return self.sha256 if self.large else self.oid


@dataclass(frozen=True)
class Commit:
    """The whole tree after one commit."""

    oid: str
    """Forty hexadecimal digits."""
    title: str
    """The first line of its message."""
    files: Mapping[str, Blob]
    """By path."""

    def tree(self, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """What lies in a folder ("" for the root)."""
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path in (path for path in self.files if path.startswith(prefix)):
            parts = path.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) + 1 if recursive else 2):
                name = prefix + "/".join(parts[:depth])
                if name not in found:
                    found[name] = self.entry(name)
        return list(found.values())

    def entry(self, path: str) -> dict[str, Any]:
        """A file, or else a folder."""
        if path not in self.files:
            return {"type": "directory", "path": path, "oid": sha1(path.encode()).hexdigest(), "size": 0}
        blob = self.files[path]
        entry = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.oid}
        if blob.large:
            size, pointer = len(blob.content), len(blob.pointer)
            entry["lfs"] = {"oid": blob.sha256, "size": size, "pointerSize": pointer}
        return entry

    def holds(self, path: str) -> bool:
        """Whether there is a file or folder of this name."""
        return path in self.files or any(file.startswith(f"{path}/") for file in self.files)

    def card(self) -> dict[str, Any]:
        """The front matter of the README."""
        return front_matter(self.files["README.md"].content) if "README.md" in self.files else {}

    def is_large(self, path: str, size: int) -> bool:
        """Whether a file would be stored as a large one."""
        rules = self.files[".gitattributes"].content.decode().splitlines() if ".gitattributes" in self.files else []
        patterns = [rule.split()[0] for rule in rules if "filter=lfs" in rule]
        return size >= LARGE or any(fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)


@dataclass
class Repository:
    """One repository with its only branch."""

    commits: list[Commit]
    """Oldest first; the last is what ``main`` means."""
    private: bool = False
    """Whether only a writer sees it."""
    sdk: str | None = None
    """Of a Space."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files that were uploaded, by SHA-256, committed or not."""
    writing: Lock = field(default_factory=Lock)
    """Held while a commit is made: the Hub makes one at a time."""

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
        return next((commit for commit in self.commits if commit.oid == revision), None)

    def commit(self, title: str, files: Mapping[str, Blob], oid: str = "") -> Commit:
        """Adds a commit with this tree."""
        made_up = sha1("".join(f"{path}{files[path].oid}" for path in sorted(files)).encode())
        made_up.update(f"{len(self.commits)}{title}".encode())
        self.commits.append(Commit(oid or made_up.hexdigest(), title, dict(files)))
        return self.head

    def change(self, title: str, files: Mapping[str, bytes | None]) -> Commit:
        """Somebody else's commit: new contents by path; None deletes."""
        blobs = dict(self.head.files) | {path: Blob(content or b"") for path, content in files.items()}
        return self.commit(title, {path: blob for path, blob in blobs.items() if files.get(path, b"") is not None})


def front_matter(readme: bytes) -> dict[str, Any]:
    """The YAML at the head of a README; empty where there is none."""
    parts = readme.decode().split("---\n", 2)
    return yaml.safe_load(parts[1]) or {} if len(parts) == 3 and not parts[0] else {}
