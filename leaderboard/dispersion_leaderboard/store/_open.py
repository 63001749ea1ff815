"""From what a user calls a store to the store."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.store._folder import FolderTree
from dispersion_leaderboard.store._hub_tree import HubTree
from dispersion_leaderboard.store._tree import Tree

PREFIX = "hf://datasets/"
COMMITS_PER_HOUR = 100.0
"""To one repository: the Hub's own limit is reported to be about 128."""


def open_tree(place: str, *, write: bool = True, commits_per_hour: float = COMMITS_PER_HOUR) -> Tree:
    """A folder, or a dataset repository of the Hub (``hf://datasets/ORG/NAME``); made where it is missing.

    Args:
        place: as typed.
        write: whether it is going to be written to; what is only read is never made.
        commits_per_hour: to the repository, by all who write to it; a folder takes any number.

    Raises:
        SystemExit: where it cannot be had, in one line.
    """
    if not place.startswith(PREFIX):
        folder = Path(place)
        if "://" in place:
            raise SystemExit(f"leaderboard: {place} is neither a folder nor {PREFIX}ORG/NAME")
        if folder.exists() and not folder.is_dir():
            raise SystemExit(f"leaderboard: {place} is a file; give a folder or {PREFIX}ORG/NAME")
        if not folder.is_dir() and not write:
            raise SystemExit(f"leaderboard: no folder {place}; the first `submit` makes it")
        return FolderTree(folder)
    name = place.removeprefix(PREFIX)
    try:
        validate_repo_id(name)
        organisation, _ = name.split("/")
    except (HFValidationError, ValueError) as error:
        raise SystemExit(f"leaderboard: {place} names no dataset; give {PREFIX}ORG/NAME") from error
    if write and get_token() is None:
        raise SystemExit(
            f"leaderboard: no token; `hf auth login`, or set HF_TOKEN to one that may write to {organisation}"
        )
    tree = HubTree(name, commits_per_hour)
    try:
        if not tree.exists():
            if not write:
                raise SystemExit(f"leaderboard: no dataset {name} on the Hub, or no right to read it")
            tree.create()
    except Refused as refused:
        raise SystemExit(f"leaderboard: {refused}") from refused
    return tree
