"""Models that nobody has asked for, found on the Hub by a filter file.

The file is YAML:

    searches:                       # each is one question to the Hub; what any of them finds is found
      - author: org                 # an organisation or a person
        search: base                # in the name
        pipeline_tag: text-generation
        tags: [safetensors, en]     # all of them
        sort: downloads             # or created_at, last_modified, likes, trending_score: the first of the order
        limit: 50                   # so many of these are looked at (default: 100)
    models: [org/name]              # these in any case
    exclude: ["-gguf$", "^org/test"]  # regular expressions, in the whole id, whatever the case
    min_downloads: 1000             # of the last month
    created_after: 2026-01-01
    most: 100                       # at most so many in all (default: 100)

All keys may be left out, but not both ``searches`` and ``models``. Gated and private models are never found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from dispersion_leaderboard.admission._model_files import check_id
from dispersion_leaderboard.hub import REFUSALS
from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import BadRequest
from dispersion_leaderboard.yaml_file import read_yaml

_MOST = 100
_SORTS = ("created_at", "downloads", "last_modified", "likes", "trending_score")
_TEXT, _TEXTS, _NUMBER, _DAY = "text", "a list of texts", "a whole number", "a date such as 2026-01-01"
_KEYS = {
    "searches": "a list",
    "models": _TEXTS,
    "exclude": _TEXTS,
    "min_downloads": _NUMBER,
    "created_after": _DAY,
    "most": _NUMBER,
}
_SEARCH = {"author": _TEXT, "search": _TEXT, "pipeline_tag": _TEXT, "tags": _TEXTS, "sort": _TEXT, "limit": _NUMBER}


def discover(file: Path) -> list[str]:
    """Ids of the models that a filter file describes, those it names first.

    Raises:
        SystemExit: for a file that cannot be read or is no filter file, or a Hub that gives no answer, in one line.
    """
    wanted = _read(file)
    exclude = _patterns(file, wanted.get("exclude", []))
    for model in wanted.get("models", []):
        try:
            check_id(model)
        except BadRequest as error:
            raise SystemExit(f"leaderboard: {file}: {error}") from error
    found = dict.fromkeys(wanted.get("models", []))
    try:
        for search in wanted.get("searches", []):
            found |= dict.fromkeys(_search(search, wanted))
    except REFUSALS as error:
        said = clean(" ".join(str(error).split()) or type(error).__name__)[:200]
        raise SystemExit(f"leaderboard: cannot search the Hub: {said}; try again later") from error
    kept = (model for model in found if not any(pattern.search(model) for pattern in exclude))
    return list(islice(kept, wanted.get("most", _MOST)))


def _search(search: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    least, after = wanted.get("min_downloads", 0), wanted.get("created_after")
    listed = HfApi().list_models(
        author=search.get("author"),
        search=search.get("search"),
        pipeline_tag=search.get("pipeline_tag"),
        filter=search.get("tags"),
        sort=search.get("sort"),
        limit=search.get("limit", _MOST),
        gated=False,
        expand=["createdAt", "downloads", "gated"],
        token=False,  # what anyone may see
    )
    for model in listed:
        try:
            check_id(model.id)
        except BadRequest:
            continue  # an old model without an owner, or a name that is no name
        if model.gated or (model.downloads or 0) < least:
            continue
        if after is None or (model.created_at is not None and model.created_at >= after):
            yield model.id


def _read(file: Path) -> dict[str, Any]:
    found = read_yaml(file)
    wanted = _checked(file, "", found, _KEYS)
    if not wanted.get("searches") and not wanted.get("models"):
        raise SystemExit(f"leaderboard: {file} has neither searches nor models")
    for number, search in enumerate(wanted.get("searches", []), 1):
        _checked(file, f"search {number}: ", search, _SEARCH)
        if search.get("sort", _SORTS[0]) not in _SORTS:
            raise SystemExit(f"leaderboard: {file}: search {number}: sort is one of {', '.join(_SORTS)}")
    if "created_after" in wanted:
        day = wanted["created_after"]
        wanted["created_after"] = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    return wanted


def _checked(file: Path, where: str, found: object, known: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise SystemExit(f"leaderboard: {file}: {where}not a mapping; its keys are {', '.join(known)}")
    for key, value in found.items():
        if key not in known:
            raise SystemExit(f"leaderboard: {file}: {where}knows no {key}; its keys are {', '.join(known)}")
        if not _is(value, known[key]):
            raise SystemExit(f"leaderboard: {file}: {where}{key} is {known[key]}")
    return found


def _is(value: object, what: str) -> bool:
    if what == _NUMBER:
        return type(value) is int and value >= 0
    if what == _DAY:
        return isinstance(value, date)
    if what == _TEXT:
        return isinstance(value, str)
    return isinstance(value, list) and (what != _TEXTS or all(isinstance(one, str) for one in value))


def _patterns(file: Path, texts: list[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(text, re.IGNORECASE) for text in texts]
    except re.error as error:
        raise SystemExit(
            f"leaderboard: {file}: exclude: {error.pattern!r} is no regular expression: {error}"
        ) from error
