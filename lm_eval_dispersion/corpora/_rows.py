"""The texts of one file: what one field holds, row by row; nothing else of a row is looked at."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora._files import compressed, ending, kind

# (where in the file, what the field holds there)
Found = Iterator[tuple[str, Any]]

_LONGEST_CSV_FIELD = 2**31 - 1  # what fits everywhere; Python's own limit is 131,072 characters
_PARQUET_ROWS = 128  # at a time: a row may be a book
_NAMES_SHOWN = 20
_JSON_WORDS = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}


def texts(file: Path, field: str) -> Iterator[str]:
    """Each text of a file, in its order, those left out that are null or blank.

    Raises:
        TaskError: names the file, where in it, and what is wrong.
    """
    try:
        yield from _of_strings(file, field)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TaskError(f"dispersion_text: cannot read {file}: {reason}") from None


def _of_strings(file: Path, field: str) -> Iterator[str]:
    read = {"text": _of_text, "json": _of_json, "csv": _of_csv, "parquet": _of_parquet}[kind(file)]
    try:
        for place, text in read(file, field):
            if text is None:
                continue
            if not isinstance(text, str):
                held = _JSON_WORDS.get(type(text), type(text).__name__)
                raise TaskError(f"dispersion_text: field {field!r} of {file} holds {held}, not text ({place})")
            if not _encodable(text):
                raise TaskError(f"dispersion_text: {file} has half of a surrogate pair, which is no text ({place})")
            if text.strip():
                yield text
    except UnicodeDecodeError:
        where = f"field {field!r}" if kind(file) == "parquet" else f"byte {_first_undecodable(file)}"
        raise _not_utf8(file, where) from None


def _of_text(file: Path, field: str) -> Found:
    """The whole file is one text, in a field of that name."""
    _require(field, ["text"], file)
    with _decoded(file, newline=None) as stream:
        text = stream.read()
    _refuse_utf16(file, text)
    yield "", text


def _of_json(file: Path, field: str) -> Found:
    """One value a line, or one array or object over all of the file."""
    with _decoded(file, newline=None) as stream:
        rows = _json_values(file, stream)
        names: dict[str, None] = {}
        for place, row in rows:
            # `json.dump(texts, file)` writes what a corpus is: a list of texts
            fields = {"text": row} if isinstance(row, str) else row
            if not isinstance(fields, dict):
                raise TaskError(f"dispersion_text: {file} has no object with fields ({place})")
            if field not in names and (field in fields or len(names) < _NAMES_SHOWN):
                names.update(dict.fromkeys(fields))
            yield place, fields.get(field)
    if names:
        _require(field, list(names), file)


def _json_values(file: Path, stream: IO[str]) -> Found:
    lines = ((number, line) for number, line in enumerate(stream, 1) if not line.isspace())
    first, line = next(lines, (0, ""))
    if not line:
        return
    if line.lstrip().startswith("[") or (ending(file) == ".json" and not _is_json(line)):
        whole = _parsed(file, "\n" * (first - 1) + line + stream.read())
        values = whole if isinstance(whole, list) else [whole]
        yield from ((f"item {item}", value) for item, value in enumerate(values, 1))
        return
    for number, text in chain([(first, line)], lines):
        yield f"line {number}", _parsed(file, text.strip(), number)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(file: Path, text: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TaskError(
            f"dispersion_text: {file} is broken JSON in line {line + error.lineno - 1}: {error.msg}"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested too deep
        raise TaskError(f"dispersion_text: cannot read {file} (line {line}): {error}") from None


def _of_csv(file: Path, field: str) -> Found:
    """One row a text. Every value is what stands there: "NA" and "null" are texts."""
    before = csv.field_size_limit(_LONGEST_CSV_FIELD)
    try:
        with _decoded(file, newline="") as stream:
            # strict: a quote that is not closed would make one text of all that comes after it
            rows = csv.reader(stream, delimiter="\t" if ending(file) == ".tsv" else ",", strict=True)
            header = next((row for row in rows if row), None)
            if header is None:
                return
            _refuse_utf16(file, "".join(header))
            _require(field, header, file)
            column = header.index(field)
            for row in rows:
                if any(row[len(header) :]):
                    raise TaskError(
                        f"dispersion_text: {file} has {len(row)} fields in line {rows.line_num} and {len(header)} in "
                        "its header; quote a text that holds the separator"
                    )
                yield f"line {rows.line_num}", row[column] if column < len(row) else None
    except csv.Error as error:
        raise TaskError(f"dispersion_text: cannot read {file}: {error} (line {rows.line_num})") from None
    finally:
        csv.field_size_limit(before)


def _of_parquet(file: Path, field: str) -> Found:
    """One row a text, whatever type of string its column is of."""
    with _binary(file) as stream:
        # else all of a row group is read at once
        table = ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
        _require(field, table.schema_arrow.names, file)
        row = 0
        for batch in table.iter_batches(_PARQUET_ROWS, columns=[field]):
            for text in batch.column(batch.schema.names.index(field)).to_pylist():
                row += 1
                yield f"row {row}", text


def _require(field: str, names: Sequence[str], file: Path) -> None:
    if field not in names:
        more = ", ..." if len(names) > _NAMES_SHOWN else ""
        raise TaskError(
            f"dispersion_text: no field {field!r} in {file}; there are {', '.join(names[:_NAMES_SHOWN])}{more}"
        )


def _binary(file: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file)) if compressed(file) else file.open("rb")


def _decoded(file: Path, newline: str | None) -> IO[str]:
    # utf-8-sig: without the byte order mark that some editors and Excel put first
    return io.TextIOWrapper(cast("Any", _binary(file)), encoding="utf-8-sig", newline=newline)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_utf16(file: Path, text: str) -> None:
    if "\0" in text:
        raise _not_utf8(file, "it has zero bytes, as UTF-16 has")


def _not_utf8(file: Path, where: str) -> TaskError:
    return TaskError(f"dispersion_text: {file} is not UTF-8 ({where}); convert it, e.g. with iconv")


def _first_undecodable(file: Path) -> int:
    """Which byte: an error of a stream counts from the beginning of a buffer."""
    decoder, seen = codecs.getincrementaldecoder("utf-8")(), 0
    with _binary(file) as stream:
        for chunk in _chunks(stream):
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return seen - held + error.start
            seen += len(chunk)
    return seen - len(decoder.getstate()[0])


def _chunks(stream: IO[bytes]) -> Iterable[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")
