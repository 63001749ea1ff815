"""Where results files come from: what lm_eval's ``--output_path`` was, or a dataset repository of the Hub."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dispersion_leaderboard.records._clean import clean

PREFIX = "hf://datasets/"
# lm_eval writes `results_DATE.json`, or `STEM_DATE.json` beside it where --output_path is `STEM.json`
# (lm_eval/loggers/evaluation_tracker.py).
_NAMED = re.compile(r"(?:results_.*|.*_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.json")
_FETCHED = ["results_*.json", "*_????-??-??T??-??-??*.json"]
_PLACE = re.compile(r"(?:^|__)(?:home|root|Users|mnt|tmp)__|^[A-Za-z]__", re.IGNORECASE)


def results_folder(source: str) -> Path:
    """The local place of a source; a Hub dataset's results files are fetched into the client's own cache.

    Args:
        source: a folder, one results file, the ``STEM.json`` that ``--output_path`` was, or
            ``hf://datasets/OWNER/NAME[@REVISION]`` (the Hub's own notation).

    Raises:
        SystemExit: where there is no such place or repository, in one line.
    """
    if not source.startswith(PREFIX):
        folder = Path(source)
        if not folder.is_dir() and not _at(folder):
            raise SystemExit(f"leaderboard: no folder {source}; give what lm_eval's --output_path was")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    repository, _, revision = source.removeprefix(PREFIX).partition("@")
    try:
        fetched = snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision or None,
            allow_patterns=[*_FETCHED, *(f"**/{pattern}" for pattern in _FETCHED)],
        )
    except RepositoryNotFoundError as error:
        raise SystemExit(
            f"leaderboard: no dataset {repository} on the Hub, or no right to read it; try `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise SystemExit(f"leaderboard: dataset {repository} has no revision {revision}") from error
    except HFValidationError as error:
        raise SystemExit(f"leaderboard: {source} is not {PREFIX}OWNER/NAME[@REVISION]") from error
    except Exception as error:
        # Of the client, of the library beneath it that sends requests (another one in other versions), or of the disk.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SystemExit(f"leaderboard: cannot fetch {source}: {reason}") from error
    return Path(fetched)


class Found(NamedTuple):
    """A results file."""

    file: Path
    name: str
    """What it is called in the table; no other has the same."""
    outside: bool
    """Whether it is a link to a place that the source does not hold."""


def _at(place: Path) -> list[Path]:
    """The results files of a folder, to its bottom, or those that a name with ``.json`` stands for."""
    if place.is_dir():
        return sorted(file for file in place.rglob("*.json") if _NAMED.fullmatch(file.name))
    if place.is_file():
        return [place]
    if place.suffix != ".json" or not place.parent.is_dir():
        return []
    of_stem = re.compile(re.escape(place.stem) + r"_[^_]*\.json")
    return sorted(f for f in place.parent.iterdir() if of_stem.fullmatch(f.name) and _NAMED.fullmatch(f.name))


def results_files(folders: Sequence[Path]) -> list[Found]:
    """Every aggregated results file of some places (``results_folder``), sorted by the name it goes by.

    That is its path below its folder (and the folder's name, where there are several), without the place on somebody's
    machine that lm_eval writes into the folder's name for a local model (``__home__me__models__x``: ``x``).
    """
    several = len(folders) > 1
    seen: Counter[str] = Counter()
    known: set[str] = set()
    found = []
    for source in folders:
        folder = source if source.is_dir() else source.parent
        label, holder = _origin(folder.resolve())
        for file in _at(source):
            place = os.path.abspath(file)  # noqa: PTH100 (a link is a file of its own)
            if place in known:
                continue
            known.add(place)
            parts = file.relative_to(folder).parts
            name = "/".join(clean(_without_place(part)) for part in ((label, *parts) if several else parts))
            seen[name] += 1
            outside = file.is_symlink() and not _leads_to(file).is_relative_to(holder)
            found.append(Found(file, name if seen[name] == 1 else f"{name} ({seen[name]})", outside))
    return sorted(found, key=lambda one: one.name)


def _origin(folder: Path) -> tuple[str, Path]:
    """What a source is called, and the folder that holds its content: of a Hub snapshot, its repository's."""
    holder = folder.parent.parent
    if folder.parent.name == "snapshots" and (holder / "blobs").is_dir():
        return holder.name.removeprefix("datasets--").replace("--", " "), holder
    return folder.name, folder


def _leads_to(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        # A link to itself.
        return link.absolute()


def _without_place(part: str) -> str:
    if part.startswith("__") or _PLACE.search(part):
        return part.rstrip("_").rsplit("__", 1)[-1]
    return part
