"""What of a folder of pages a Space lacks, and in which order it gets it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.hf_api import RepoFile

KEPT = frozenset({".gitattributes"})
"""The Hub's own: it says which files are large."""
BYTES = 50_000_000
"""Of content in one commit: it is sent as one request, which the Hub gives about a minute."""


@dataclass(frozen=True)
class SiteFile:
    """One file of the folder that is published."""

    path: str
    """In the Space."""
    file: Path
    """On this machine."""
    size: int
    """In bytes."""

    def equals(self, remote: RepoFile) -> bool:
        """Whether the Hub's file has the same content, by the hash that it tells."""
        if self.size != (remote.lfs or remote).size:
            return False
        content = self.file.read_bytes()
        theirs: str = remote.lfs.sha256 if remote.lfs else remote.blob_id
        if remote.lfs:
            return hashlib.sha256(content).hexdigest() == theirs
        return hashlib.sha1(b"blob %d\0" % self.size + content).hexdigest() == theirs


@dataclass(frozen=True)
class Batch:
    """One commit."""

    upload: tuple[SiteFile, ...]
    """Files to add or to replace."""
    delete: tuple[str, ...]
    """Paths in the Space."""

    @property
    def bytes(self) -> int:
        """Of the files to upload."""
        return sum(file.size for file in self.upload)

    def operations(self) -> list[CommitOperationAdd | CommitOperationDelete]:
        """The client's own, which it allows to be used once."""
        return [
            *(CommitOperationAdd(file.path, file.file) for file in self.upload),
            *(CommitOperationDelete(path, is_folder=False) for path in self.delete),
        ]


@dataclass(frozen=True)
class Difference(Batch):
    """All that differs, in order; false where nothing does."""

    def __bool__(self) -> bool:
        return bool(self.upload or self.delete)

    def batches(self, most: int) -> Iterator[Batch]:
        """Commits of at most so many files; what is gone goes in the last, when nothing refers to it any more."""
        waiting: list[SiteFile] = []
        for file in self.upload:
            if waiting and (len(waiting) == most or sum(f.size for f in waiting) + file.size > BYTES):
                yield Batch(tuple(waiting), ())
                waiting = []
            waiting.append(file)
        room = most - len(waiting)
        yield Batch(tuple(waiting), self.delete[:room])
        for start in range(room, len(self.delete), most):
            yield Batch((), self.delete[start : start + most])


def site_files(site: Path) -> list[SiteFile]:
    """Every file of a folder that is published: all but the hidden ones and what lies in hidden folders."""
    found = []
    for file in sorted(site.rglob("*")):
        parts = file.relative_to(site).parts
        if file.is_file() and not any(part.startswith(".") for part in parts):
            found.append(SiteFile("/".join(parts), file, file.stat().st_size))
    return found


def difference(files: Sequence[SiteFile], remote: Mapping[str, RepoFile]) -> Difference:
    """What makes the Space equal to the folder: pages before the files that refer to them."""
    changed = [file for file in files if file.path not in remote or not file.equals(remote[file.path])]
    gone = remote.keys() - {file.path for file in files} - KEPT
    return Difference(tuple(sorted(changed, key=_turn)), tuple(sorted(gone)))


def _turn(file: SiteFile) -> tuple[int, str]:
    """The card first, for it says whose Space this is; index.html, which everybody opens, last."""
    folder, _, _ = file.path.rpartition("/")
    if not folder:
        return {"README.md": 0, "index.html": 4}.get(file.path, 3), file.path
    return 2 if folder.split("/")[0] == "data" else 1, file.path
