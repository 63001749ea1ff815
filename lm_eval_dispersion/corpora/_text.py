"""``dispersion_text``: the user's own unlabelled text, from files.

Only the field that was asked for is read, file by file, and kept as memory-mapped Arrow in a temporary file: a corpus
of any size costs no memory here. ``datasets`` could read most of these files, but all columns of all of them, which
then have to agree, and from its cache, which knows a file by its path and time alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora._files import files_of
from lm_eval_dispersion.corpora._rows import texts
from lm_eval_dispersion.corpora._sample import SAMPLE_OPTIONS, sampled, selection

if TYPE_CHECKING:
    from datasets import Dataset

TEXT_OPTIONS = ("text", "field", "name", *SAMPLE_OPTIONS)

_BATCH_CHARACTERS = 1 << 24
_OVERHEAD = 64  # of a string in Python


def user_text(**metadata: Any) -> dict[str, Dataset]:
    """The corpus that ``--metadata '{"dispersion": {...}}'`` describes, as lm_eval's ``custom_dataset``.

    Options: ``text``, a file name or glob pattern, or a list of them (.txt: one document a file; .jsonl,
    .json, .csv, .tsv, .parquet: one a row; each may be .gz); ``field``, the column that holds the text
    (default "text"); ``name``, under which the record keeps the corpus; ``max_documents`` (or "all") and ``seed``, a
    random sample without replacement, in the order of the files.

    Raises:
        TaskError: names the file or option that is wrong, and the fix.
    """
    options = metadata.get("dispersion") or {}
    for name in ("field", "name"):
        if not isinstance(options.get(name, ""), str):
            raise TaskError(f"dispersion_text: {name} must be a string, not {options[name]!r}")
    chosen, field = selection("dispersion_text", options), options.get("field", "text")
    files = files_of(options.get("text"))
    documents = _kept(text for file in files for text in texts(file, field))
    if not len(documents):
        listed = ", ".join(map(str, files[:3])) + (", ..." if len(files) > 3 else "")
        raise TaskError(f"dispersion_text: {listed}: no document with text in it (field {field!r})")
    return {"test": sampled(documents, chosen)}


def _kept(documents: Iterable[str]) -> Dataset:
    """The texts as a dataset of one column, ``text``, on disk in a file that is gone as soon as nothing maps it."""
    from datasets import Dataset

    # A fingerprint of its own: else `datasets` would pickle all of the text to make one.
    schema = pa.schema({"text": pa.large_string()}, {"huggingface": json.dumps({"fingerprint": uuid4().hex})})
    try:
        # Where a file that is mapped cannot be removed (Windows), it stays.
        with TemporaryDirectory(prefix="lm-eval-dispersion-", ignore_cleanup_errors=True) as folder:
            file = str(Path(folder) / "texts.arrow")
            with pa.ipc.new_stream(file, schema) as stream:
                for batch in _batches(documents):
                    stream.write_batch(pa.record_batch([pa.array(batch, pa.large_string())], schema=schema))
            return Dataset.from_buffer(pa.memory_map(file).read_buffer())
    except OSError as error:
        raise TaskError(
            f"dispersion_text: no room for a copy of the text ({error}); set TMPDIR to where there is"
        ) from None


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in documents:
        batch.append(text)
        characters += len(text) + _OVERHEAD
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
