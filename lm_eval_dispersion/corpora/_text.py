"""``dispersion_text``: the user's own unlabelled text, from files.

``datasets`` reads the files and keeps them as memory-mapped Arrow, so a corpus of any size costs no memory here.
"""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_dispersion._errors import TaskError

if TYPE_CHECKING:
    from datasets import Dataset

TEXT_OPTIONS = ("text", "field", "name", "max_documents", "seed")

# File name ending -> `datasets` builder. A compressed file has one more ending.
_BUILDERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz",)
_USAGE = """--metadata '{"dispersion": {"text": "my/*.jsonl", "field": "text"}}'"""


def user_text(**metadata: Any) -> dict[str, Dataset]:
    """The corpus that ``--metadata '{"dispersion": {...}}'`` describes, as lm_eval's ``custom_dataset``.

    Options: ``text``, a file name or glob pattern, or a list of them (.txt: one document a file; .jsonl,
    .json, .csv, .tsv, .parquet: one a row; each may be .gz); ``field``, the column that holds the text
    (default "text"); ``name``, under which the record keeps the corpus; ``max_documents`` and ``seed``, a random
    sample without replacement, in the order of the files.

    Raises:
        TaskError: names the file or option that is wrong, and the fix.
    """
    options = metadata.get("dispersion") or {}
    files = _files(options.get("text"))
    builder = _builder(files)
    dataset = _load(builder, files)
    field = options.get("field", "text")
    if field not in dataset.column_names:
        raise TaskError(
            f"dispersion_text: no field {field!r} in {files[0]}; there are {', '.join(dataset.column_names)}"
        )
    dataset = dataset.select_columns([field])
    if field != "text":
        dataset = dataset.rename_column(field, "text")
    if dataset.features["text"].dtype not in ("string", "large_string"):
        raise TaskError(f"dispersion_text: field {field!r} holds {dataset.features['text'].dtype}, not text")
    dataset = dataset.filter(lambda text: bool(text and text.strip()), input_columns="text")
    if not len(dataset):
        raise TaskError(f"dispersion_text: field {field!r} of {files[0]} holds no document with text in it")
    return {"test": _sampled(dataset, options.get("max_documents"), options.get("seed", 0))}


def _files(patterns: Any) -> list[str]:
    if not patterns:
        raise TaskError(f"dispersion_text: no text given; say where it is with {_USAGE}")
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matches = glob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207 (absolute patterns too)
        files = [match for match in matches if Path(match).is_file()]
        if not files:
            raise TaskError(f"dispersion_text: no file matches {pattern!r} (from {Path.cwd()})")
        found.update(files)
    return sorted(found)


def _ending(file: str) -> str:
    path = Path(file)
    return path.with_suffix("").suffix.lower() if path.suffix.lower() in _COMPRESSED else path.suffix.lower()


def _builder(files: list[str]) -> str:
    builders: dict[str, str] = {}
    for file in files:
        if _ending(file) not in _BUILDERS:
            raise TaskError(f"dispersion_text: cannot read {file}; it may be {', '.join(_BUILDERS)}, each also as .gz")
        builders.setdefault(_BUILDERS[_ending(file)], file)
    if len(builders) > 1:
        one, other = list(builders.values())[:2]
        raise TaskError(f"dispersion_text: {one} and {other} are of different kinds; give files of one kind")
    return next(iter(builders))


def _load(builder: str, files: list[str]) -> Dataset:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    options: dict[str, Any] = {"sample_by": "document"} if builder == "text" else {}
    if builder == "csv" and _ending(files[0]) == ".tsv":
        options["sep"] = "\t"
    try:
        return load_dataset(builder, data_files={"test": files}, split="test", **options)
    except StopIteration:  # what `datasets` makes of files without a row
        raise TaskError(f"dispersion_text: {', '.join(files[:3])} hold no document") from None
    except (DatasetGenerationError, OSError, ValueError) as error:
        for file in files:
            _check_readable(file)
        cause = error.__cause__ or error
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise TaskError(f"dispersion_text: cannot read {', '.join(files[:3])} as {builder}: {reason}") from None


def _check_readable(file: str) -> None:
    """Says which of many files is at fault, in one line, where it is permission or encoding."""
    import gzip

    opener = gzip.open if Path(file).suffix.lower() in _COMPRESSED else open
    try:
        if _ending(file) == ".parquet":
            return
        with opener(file, "rt", encoding="utf-8") as lines:
            for _ in lines:
                pass
    except UnicodeDecodeError as error:
        raise TaskError(
            f"dispersion_text: {file} is not UTF-8 (byte {error.start}); convert it, e.g. with iconv"
        ) from None
    except (OSError, EOFError) as error:
        raise TaskError(f"dispersion_text: cannot read {file}: {error}") from None


def _sampled(dataset: Dataset, count: Any, seed: Any) -> Dataset:
    if count is None:
        return dataset
    for name, value, least in (("max_documents", count, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise TaskError(f"dispersion_text: {name} must be a whole number of at least {least}, not {value!r}")
    if count >= len(dataset):
        return dataset
    chosen = np.random.default_rng(seed).choice(len(dataset), size=count, replace=False)
    return dataset.select(np.sort(chosen))
