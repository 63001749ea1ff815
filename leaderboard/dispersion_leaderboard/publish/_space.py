"""A built folder to a static Space: only what changed, in as few commits as can be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.hf_api import RepoFile, SpaceInfo
from huggingface_hub.utils import validate_repo_id
from tqdm import tqdm

from dispersion_leaderboard.hub import Patience, Refused, Repository
from dispersion_leaderboard.publish._difference import SiteFile, difference, site_files
from dispersion_leaderboard.publish._upload import synchronise

_NAMED = 10
_TAG = "representation-dispersion"
_TEMPLATE = frozenset({".gitattributes", "README.md", "index.html", "style.css"})
"""What the Hub puts into a new static Space."""


def publish(site: Path, space: str, *, private: bool = False, dry_run: bool = False) -> str:
    """Makes a Space equal to a built folder, and prints its URL; the folder itself is only read.

    The token is the environment's or the saved login's. Where a connection breaks or somebody else commits meanwhile,
    the Space is compared anew before the next attempt, so that nothing is committed twice or over another's head.

    Args:
        site: what ``build`` wrote.
        space: ``ORG/NAME``; created where it is missing.
        private: how it is created.
        dry_run: say what would be done, and write nothing.

    Returns:
        The Space's URL.

    Raises:
        SystemExit: where something of this cannot be done, in one line.
    """
    if not (site / "index.html").is_file() or not (site / "README.md").is_file():
        raise SystemExit(f"leaderboard: no built site in {site}; `dispersion-leaderboard build --out {site}` makes it")
    try:
        validate_repo_id(space)
        organisation, _ = space.split("/")
    except (HFValidationError, ValueError) as error:
        raise SystemExit(f"leaderboard: {space} does not name a Space; give it as ORG/NAME") from error
    api = HfApi()
    url = f"{api.endpoint}/spaces/{space}"
    hub = Repository(api, space, "space", Patience(space, api.endpoint))
    try:
        if dry_run:
            _rehearse(hub, site_files(site), private)
        elif get_token() is None:
            raise Refused(f"no token; `hf auth login`, or set HF_TOKEN to one that may write to {organisation}")
        else:
            _publish(hub, site_files(site), private)
    except Refused as refused:
        raise SystemExit(f"leaderboard: {refused}") from refused
    print(url)
    return url


def _rehearse(hub: Repository, files: Sequence[SiteFile], private: bool) -> None:
    there: dict[str, RepoFile] = {}
    info = None
    try:
        info = hub.find()
        there = hub.files(info.sha) if info else {}
        if info is None:
            print(f"would create the static Space {hub.name}{' (private)' if private else ''}: none is seen")
    except Refused as refused:
        print(f"cannot compare with the Hub: {refused}")
    if info:
        _refuse_foreign(hub.name, info, there, private)
    changes = difference(files, there)
    if not changes:
        print("nothing has changed")
    _tell("would upload", [file.path for file in changes.upload], f" ({_size(changes.bytes)})")
    _tell("would delete", changes.delete, "")


def _publish(hub: Repository, files: Sequence[SiteFile], private: bool) -> None:
    info = hub.find()
    if info is None:
        hub.create(private)
        print(f"created {hub.name}")
    head = str(info.sha) if info else hub.head()
    there = hub.files(head)
    if info:
        _refuse_foreign(hub.name, info, there, private)
    changes = difference(files, there)
    if not changes:
        print("nothing has changed: no commit")
        return
    with tqdm(total=changes.bytes, unit="B", unit_scale=True, desc="Uploading", disable=None) as bar:
        synchronise(hub, files, head, there, bar)
    print(f"uploaded {len(changes.upload)} files ({_size(changes.bytes)}), deleted {len(changes.delete)}")


def _refuse_foreign(space: str, info: SpaceInfo, there: Collection[str], private: bool) -> None:
    """Somebody's other Space would be emptied, or pages that are meant to be private would be public."""
    ours = _TAG in (info.tags or ()) or "data/records.parquet" in there or _TEMPLATE.issuperset(there)
    if info.sdk not in (None, "static") or not ours:
        raise Refused(f"{space} holds other things than a leaderboard; give a new name, or empty it first")
    if private and not info.private:
        raise Refused(f"{space} exists and is public; make it private in its settings, or leave --private out")


def _tell(what: str, paths: Sequence[str], more: str) -> None:
    if paths:
        rest = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        print(f"{what} {len(paths)} files{more}: {', '.join(paths[:_NAMED])}{rest}")


def _size(count: int) -> str:
    return f"{tqdm.format_sizeof(count)}B"
