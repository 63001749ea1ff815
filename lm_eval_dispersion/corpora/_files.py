"""Which files are meant by the names and patterns a user gives, and of what kind each is."""

from __future__ import annotations

import re
from glob import glob
from pathlib import Path
from typing import Any

from lm_eval_dispersion._errors import TaskError

# File name ending -> kind of file. A compressed file has one more ending.
_KINDS = {".txt": "text", ".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_COMPRESSED = ".gz"
_USAGE = """--metadata '{"dispersion": {"text": "my/*.jsonl", "field": "text"}}'"""


def files_of(patterns: Any) -> list[Path]:
    """The files that a name, a glob pattern or a list of them stands for, each once, in the order of their names.

    Raises:
        TaskError: for a name that stands for no file, and for files that cannot be read or are of several kinds.
    """
    if not patterns:
        raise TaskError(f"dispersion_text: no text given; say where it is with {_USAGE}")
    given = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(given, list) or not all(isinstance(pattern, str) for pattern in given):
        raise TaskError(f"dispersion_text: text must be a file name or pattern, or a list of them, not {patterns!r}")
    # A file that is found twice, by two patterns or a link, is one document's worth of evidence.
    found = {file.resolve(): file for pattern in given for file in _matches(pattern)}
    files = sorted(found.values(), key=str)
    kinds: dict[str, Path] = {}
    for file in files:
        if ending(file) not in _KINDS:
            raise TaskError(f"dispersion_text: cannot read {file}; it may be {', '.join(_KINDS)}, each also as .gz")
        kinds.setdefault(kind(file), file)
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise TaskError(f"dispersion_text: {one} and {other} are of different kinds; give files of one kind")
    return files


def compressed(file: Path) -> bool:
    """Whether it is packed with gzip, by its name."""
    return file.suffix.lower() == _COMPRESSED


def ending(file: Path) -> str:
    """In lower case, without the one that says it is compressed."""
    return (file.with_suffix("") if compressed(file) else file).suffix.lower()


def kind(file: Path) -> str:
    """``text``, ``json``, ``csv`` or ``parquet``, by its name."""
    return _KINDS[ending(file)]


def _matches(pattern: str) -> list[Path]:
    try:
        path = Path(pattern).expanduser()
    except RuntimeError:  # ~somebody who is not known here
        path = Path(pattern)
    try:
        if path.is_dir():
            like = ending(path) if ending(path) in _KINDS else ".jsonl"
            raise TaskError(f"dispersion_text: {pattern} is a folder; give its files, such as {path / f'*{like}'}")
        if path.is_file():
            return [path]
    except OSError as error:  # a name that is too long, such as the text itself
        raise TaskError(f"dispersion_text: cannot read {pattern!r}: {error.strerror}") from None
    # Brackets are part of many names, so they are taken for that first, and for a set of characters second.
    for form in (re.sub(r"\[", "[[]", str(path)), str(path)):
        files = [Path(match) for match in glob(form, recursive=True)]  # noqa: PTH207 (absolute patterns too)
        if files := [file for file in files if file.is_file()]:
            return files
    raise TaskError(f"dispersion_text: no file matches {pattern!r} (from {Path.cwd()})")
