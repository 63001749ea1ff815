"""A file of the user's that is not what it should be gets one line that names it, and where in it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora import user_text


def refused(text: object, **options: object) -> str:
    with pytest.raises(TaskError) as stop:
        user_text(dispersion={"text": text, **options})
    line = str(stop.value)
    assert line.startswith("lm-eval-dispersion: dispersion_text: ") and "\n" not in line
    return line


PACKED = gzip.compress("".join(json.dumps({"text": Random(i).randbytes(300).hex()}) + "\n" for i in range(50)).encode())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nested.jsonl", b'{"text": "one"}\n{"text": {"en": "words"}}\n', "holds an object, not text (line 2)"),
        ("list.jsonl", b'{"text": ["words"]}\n', "holds a list, not text (line 1)"),
        ("number.json", b'[{"text": "one"}, {"text": 2}]', "holds a number, not text (item 2)"),
        ("broken.jsonl", b'{"text": "one"}\n\n{"text": "two"\n{"text": "three"}\n', "broken JSON in line 3"),
        ("first.jsonl", b'{"text": \n{"text": "two"}\n', "broken JSON in line 1"),
        ("broken.json", b'[\n {"text": "one"},\n {"text": }\n]', "broken JSON in line 3"),
        ("rows.jsonl", b'{"text": "one"}\n[1, 2]\n', "has no object with fields (line 2)"),
        ("deep.jsonl", b'{"text": ' + b"[" * 100_000, "line 1"),
        ("digits.jsonl", b'{"text": "one", "id": ' + b"1" * 5_000 + b"}\n", "line 1"),
        ("half.jsonl", b'{"text": "cut \\ud83d"}\n', "half of a surrogate pair, which is no text (line 1)"),
        ("cut.jsonl.gz", PACKED[:-500], "cut.jsonl.gz: Compressed file ended"),
        ("spoilt.jsonl.gz", PACKED[:10] + b"\xff" * 50 + PACKED[60:], "spoilt.jsonl.gz: Error -3 while decompressing"),
        ("open.csv", b'text,id\none,1\n"two,2\nthree,3\n', "open.csv: unexpected end of data (line 4)"),
        ("wide.csv", b"text,id\none,1\ntwo, with a comma,2\n", "has 3 fields in line 3 and 2 in its header"),
        ("quotes.tsv", b'text\tid\n"One," he said.\t1\n', "(line 2)"),
        ("columns.csv", b"body,id\none,1\n", "no field 'text' in"),
        ("cut.parquet", b"PAR1 not", "cut.parquet: "),
        ("empty.parquet", b"", "empty.parquet: "),
        ("utf16.txt", "words".encode("utf-16"), "is not UTF-8 (byte 0)"),
        ("utf16.csv", "text,id\none,1\n".encode("utf-16"), "is not UTF-8 (byte 0)"),
        ("utf16.jsonl", '{"text": "one"}\n'.encode("utf-16"), "is not UTF-8 (byte 0)"),
        ("unmarked.txt", "words".encode("utf-16-le"), "is not UTF-8"),
        ("unmarked.csv", "text,id\none,1\n".encode("utf-16-le"), "is not UTF-8"),
        ("late.txt", ("ü" * 600_000 + "x").encode() + b"\xe9t\xe9", "is not UTF-8 (byte 1200001)"),
        ("late.jsonl.gz", gzip.compress(b'{"text": "one"}\n{"text": "caf\xe9"}\n'), "is not UTF-8 (byte 29)"),
        ("cut.txt", "words ü".encode()[:-1], "is not UTF-8 (byte 6)"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and " " not in value else "",
)
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / f"a good one{Path(name).suffixes[0]}").write_bytes(
        {".txt": b"words", ".csv": b"text\nwords\n", ".tsv": b"text\nwords\n"}.get(
            Path(name).suffixes[0], b'{"text": "words"}\n'
        )
    )
    (tmp_path / name).write_bytes(content)
    file = str(tmp_path / name)
    assert said in refused(file) and file in refused(file)
    if not name.endswith(".parquet"):
        assert file in refused(str(tmp_path / "*"))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([["words"]]), "holds a list, not text (row 1)"),
        (pa.array([{"en": "words"}]), "holds an object, not text (row 1)"),
        (pa.array([b"words"]), "holds bytes, not text (row 1)"),
        (pa.array([1]), "holds a number, not text (row 1)"),
    ],
)
def test_a_parquet_column_that_holds_no_text_is_named(column: pa.Array, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_table(pa.table({"text": column}), file)
    assert said in refused(str(file)) and str(file) in refused(str(file))


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_the_one_file_of_several_without_the_field_is_named(ending: str, tmp_path: Path) -> None:
    for name, field in (("a", "text"), ("b", "body"), ("c", "text")):
        file = tmp_path / f"{name}{ending}"
        if ending == ".parquet":
            write_table(pa.table({field: ["words"], "id": [1]}), file)
        else:
            file.write_text(f"{field},id\nwords,1\n" if ending == ".csv" else json.dumps({field: "words", "id": 1}))
    line = refused(str(tmp_path / f"*{ending}"))
    assert f"no field 'text' in {tmp_path / f'b{ending}'}; there are body, id" in line


def test_a_folder_is_named_with_what_to_give_instead(tmp_path: Path) -> None:
    (tmp_path / "parts.parquet").mkdir()
    assert f"is a folder; give its files, such as {tmp_path}/*.jsonl" in refused(str(tmp_path))
    assert "parts.parquet/*.parquet" in refused(str(tmp_path / "parts.parquet"))
    assert "no file matches" in refused(str(tmp_path / "*"))


@pytest.mark.parametrize("text", [3, {"a": 1}, ["a.txt", 3], [["a.txt"]]])
def test_what_is_no_file_name_is_refused(text: object) -> None:
    assert "text must be a file name or pattern, or a list of them" in refused(text)


def test_the_text_itself_in_place_of_a_file_is_one_line() -> None:
    assert "cannot read" in refused("Once upon a time. " * 500)
    assert "no file matches" in refused("~nobody-of-this-name/a.txt")


def test_a_text_file_has_no_fields_to_choose_from(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert "no field 'body' in" in refused(str(tmp_path / "a.txt"), field="body")


@pytest.mark.parametrize("option", ["field", "name"])
def test_a_name_that_is_no_string_is_refused(option: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert f"{option} must be a string, not 3" in refused(str(tmp_path / "a.txt"), **{option: 3})


def test_a_full_disk_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "is not there"))
    assert "TMPDIR" in refused(str(tmp_path / "a.txt"))
