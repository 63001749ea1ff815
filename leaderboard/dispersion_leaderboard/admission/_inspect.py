"""Whether a model may be evaluated, asked before any of its weights is fetched, and which files would be fetched.

Weights are safetensors or GGUF: to open anything else may run code. Code that comes with a model is never run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from dispersion_leaderboard.admission._model_files import Listing, Refused, check_id
from dispersion_leaderboard.hub import REFUSALS
from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import BadRequest, Reason

__all__ = ["Admitted", "Refused", "Unreachable", "inspect", "inspect_folder"]

_TIMEOUT = 30.0
_CHUNK = 1 << 20


class Unreachable(Exception):
    """The Hub gave no answer, which says nothing about the model."""


@dataclass(frozen=True)
class Admitted:
    """A model that may be evaluated."""

    name: str
    """``owner/name`` as the Hub writes it, whatever old name or case it was asked by; or the folder's name."""
    sha: str
    """The commit; of a folder the SHA-256 of what is used of it."""
    gguf_file: str
    """The GGUF file that is loaded, else empty."""
    files: Mapping[str, int] = field(repr=False)
    """Names and sizes of all that is fetched."""
    parameters: int | None = None
    """Where the Hub tells how many."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self.files.values())


def inspect(model: str, revision: str | None, *, largest: int, gguf_file: str = "") -> Admitted:
    """Asks the Hub about a model; nothing of it is fetched but its configuration and the list of its shards.

    Args:
        model: as somebody wrote it.
        revision: a branch, tag or commit; None for the newest commit.
        largest: bytes of all files that would be fetched.
        gguf_file: which one, where there are several.

    Raises:
        Refused: where it is not evaluated.
        Unreachable: where there is no answer.
    """
    try:
        check_id(model, gguf_file)
    except BadRequest as error:
        raise Refused(Reason.NOT_FOUND, str(error)) from error
    with _asking(model):
        try:
            info = HfApi().model_info(model, revision=revision, files_metadata=True, timeout=_TIMEOUT)
        except GatedRepoError:
            raise
        except (RepositoryNotFoundError, RevisionNotFoundError, DisabledRepoError) as error:
            at = f" at {clean(revision)[:80]}" if revision else ""
            raise Refused(Reason.NOT_FOUND, f"the Hub shows no model {model}{at}") from error
        if info.private:
            raise Refused(Reason.NOT_FOUND, f"{model} is private")
        name, sha = str(info.id), str(info.sha)
        if info.gated:
            raise Refused(Reason.GATED, f"{model} is given only to those whom its owner lets in", sha)
        told = {one.rfilename: one.size for one in info.siblings or ()}
        files, gguf_file = Listing(told, lambda file, most: _fetch(name, sha, file, most), sha).choose(
            largest, gguf_file
        )
    return Admitted(name, sha, gguf_file, files, info.safetensors.total if info.safetensors else None)


def inspect_folder(path: Path, *, largest: int, gguf_file: str = "") -> Admitted:
    """The same of a folder on this machine, whose name takes the place of the id and a digest that of the commit.

    Raises:
        Refused: where it is not evaluated.
    """
    try:
        return _inspect_folder(path.resolve(strict=True), largest, gguf_file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise Refused(Reason.NOT_FOUND, f"cannot read the folder {clean(path.name)[:80]}: {why}") from error


def _inspect_folder(root: Path, largest: int, gguf_file: str) -> Admitted:
    sizes: dict[str, int | None] = {file.name: file.stat().st_size for file in root.iterdir() if file.is_file()}
    files, gguf_file = Listing(sizes, lambda name, most: _read(root, name, most)).choose(largest, gguf_file)
    told = [(name, size, _digest(_inside(root, name))) for name, size in sorted(files.items())]
    return Admitted(root.name, sha256(json.dumps(told).encode()).hexdigest(), gguf_file, files)


@contextmanager
def _asking(model: str) -> Iterator[None]:
    """What the client raises, as a verdict or as none."""
    try:
        yield
    except GatedRepoError as error:
        raise Refused(Reason.GATED, f"{model} is given only to those whom its owner lets in") from error
    except (*REFUSALS, EntryNotFoundError) as error:
        said = clean(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)[:200]
        raise Unreachable(f"cannot ask the Hub about {model}: {said}; try again later") from error


def _fetch(model: str, sha: str, name: str, most: int) -> bytes:
    """A small file, or a little more than ``most`` bytes of one that says it is small."""
    url = hf_hub_url(model, name, revision=sha)
    content = bytearray()
    with get_session().stream("GET", url, headers=build_hf_headers(), timeout=_TIMEOUT) as response:
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        for piece in response.iter_bytes(_CHUNK):
            content += piece
            if len(content) > most:
                break
    return bytes(content)


def _read(root: Path, name: str, most: int) -> bytes:
    with _inside(root, name).open("rb") as file:
        return file.read(most + 1)


def _inside(root: Path, name: str) -> Path:
    """A file of the folder; what a link names elsewhere may be anything of this machine's."""
    file = (root / name).resolve()
    if not file.is_relative_to(root):
        raise Refused(Reason.UNSAFE_WEIGHTS, f"{name} is a link out of the folder")
    return file


def _digest(file: Path) -> str:
    told = sha256()
    with file.open("rb") as content:
        while piece := content.read(_CHUNK):
            told.update(piece)
    return told.hexdigest()
