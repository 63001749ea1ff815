"""``dispersion_text``: each kind of file is read as what it is, and of a row only the field that was asked for."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from lm_eval_dispersion.corpora import user_text

TEXTS = ["The first text, with a comma.", 'The "second"\nof two lines.', "Zürich, naïve, 東京."]


def read(text: object, **options: object) -> list[str]:
    return list(user_text(dispersion={"text": text, **options}, pretrained="ignored")["test"]["text"])


def write(folder: Path, ending: str) -> Path:
    file = folder / f"corpus{ending}"
    opener = gzip.open if ending.endswith(".gz") else open
    if ".parquet" in ending:
        with opener(file, "wb") as stream:
            write_table(pa.table({"body": TEXTS, "id": [1, 2, 3]}), stream)
        return file
    with opener(file, "wt", encoding="utf-8", newline="") as stream:
        if ".jsonl" in ending:
            stream.writelines(json.dumps({"body": text, "id": i}) + "\n" for i, text in enumerate(TEXTS))
        elif ".json" in ending:
            json.dump([{"body": text, "id": i} for i, text in enumerate(TEXTS)], stream)
        else:
            writer = csv.writer(stream, delimiter="\t" if ".tsv" in ending else ",")
            writer.writerows([["id", "body"], *([i, text] for i, text in enumerate(TEXTS))])
    return file


def lines(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", ".tsv.gz", ".parquet.gz"]
)
def test_a_row_is_a_document(ending: str, tmp_path: Path) -> None:
    assert read(str(write(tmp_path, ending)), field="body") == TEXTS


def test_a_text_file_is_a_document_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text(TEXTS[1], encoding="utf-8")
    (tmp_path / "sub" / "b.txt.gz").write_bytes(gzip.compress(TEXTS[2].encode()))
    assert read(str(tmp_path / "**/*.txt*")) == TEXTS[1:]
    assert read([str(tmp_path / "a.txt"), str(tmp_path / "sub/*")]) == TEXTS[1:]


def test_rows_without_text_are_left_out(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"text": ""}, {"text": None}, {"text": " \n"}, {"other": "x"}, {"text": "two"}]
    (tmp_path / "a.jsonl").write_text(lines(rows))
    assert read(str(tmp_path / "a.jsonl")) == ["one", "two"]


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        ({"text": "one"}, {"text": "two", "meta": {"x": 1}}, ["one", "two"]),
        ({"text": "one", "id": 1}, {"text": "two", "id": "b"}, ["one", "two"]),
        ({"text": "one", "id": [1]}, {"text": "two", "id": None}, ["one", "two"]),
        ({"text": None}, {"text": "two"}, ["two"]),
        ({"id": 1, "text": "one"}, {"text": "two", "id": 1}, ["one", "two"]),
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_other_columns_may_differ_between_files(
    first: dict[str, Any], second: dict[str, Any], texts: list[str], ending: str, tmp_path: Path
) -> None:
    for name, row in (("a", first), ("b", second)):
        file = tmp_path / f"{name}{ending}"
        if ending == ".jsonl":
            file.write_text(lines([row]))
        elif ending == ".parquet":
            write_table(pa.Table.from_pylist([row]), file)
        else:
            with file.open("w", newline="") as stream:
                csv.writer(stream).writerows([row.keys(), row.values()])
    assert read(str(tmp_path / f"*{ending}")) == texts


def test_what_stands_in_a_csv_is_the_text(tmp_path: Path) -> None:
    texts = ["NA", "null", "nan", "None", "007", "1e3", "true", "two\r\nlines", "x" * 200_000]
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["text"], *([text] for text in texts)])
    before = csv.field_size_limit()
    assert read(str(tmp_path / "a.csv")) == texts
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.string()),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(TEXTS, pa.large_string()).dictionary_encode(),
    ],
    ids=lambda column: str(column.type).partition(",")[0],
)
def test_each_string_type_of_parquet_is_text(column: Any, tmp_path: Path) -> None:
    write_table(pa.table({"text": column, "other": [[1], None, []]}), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet")) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("lines.json", '{"text": "one"}\n{"text": "two"}\n', ["one", "two"]),
        ("array.json", '\n[\n  {"text": "one"},\n  {"text": "two"}\n]', ["one", "two"]),
        ("array.jsonl", '[{"text": "one"}, {"text": "two"}]', ["one", "two"]),
        ("strings.json", '["one", "two"]', ["one", "two"]),
        ("object.json", '{\n  "text": "one",\n  "id": 1\n}\n', ["one"]),
        ("gaps.jsonl", '\n{"text": "one"}\n\n  \n{"text": "two"}', ["one", "two"]),
        ("windows.jsonl", '{"text": "one\\r\\nmore"}\r\n{"text": "two"}\r\n', ["one\r\nmore", "two"]),
        ("mark.jsonl", '\ufeff{"text": "one"}\n', ["one"]),
        ("mark.csv", "\ufefftext,id\none,1\n", ["one"]),
        ("mark.txt", "\ufeffone", ["one"]),
        ("windows.txt", "one\r\ntwo", ["one\ntwo"]),
        ("short.csv", "\nid,text\n1,one\n\n2\n3,two\n", ["one", "two"]),
        ("longline.jsonl", '{"text": "' + "word " * 500_000 + '"}\n', ["word " * 500_000]),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_a_file_is_read_however_it_is_laid_out(name: str, content: str, texts: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read(str(tmp_path / name)) == texts


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("notes [v1].txt", "notes [v1].txt"),
        ("notes [v1] b.txt", "notes [v1]*.txt"),
        ("[2024]/a.txt", "[2024]/a.txt"),
        ("[2024]/a.txt", "[2024]/*.txt"),
        ("part-1.txt", "part-[0-9].txt"),
        ("Straße 3, Köln.txt", "Straße 3, Köln.txt"),
        ("Straße 3, Köln.txt", "Stra?e*Köln*"),
        ("what? a * b.txt", "what? a * b.txt"),
        ("50%25 off#1.TXT", "50%25 off#1.TXT"),
    ],
)
def test_a_file_is_found_by_its_name_and_by_a_pattern(
    name: str, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("words")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert read(asked) == read(str(tmp_path / asked)) == read(f"~/{asked}") == ["words"]


def test_a_file_that_is_found_twice_is_read_once_and_folders_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "link.txt").symlink_to("a.txt")
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "folder.txt").mkdir()
    assert read([str(tmp_path / "*.txt"), str(tmp_path / "a.txt"), f"{tmp_path}/./a.txt"]) == ["words"]


def test_a_file_that_was_replaced_is_read_anew_whatever_its_time_and_size(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "old"}\n')
    time = file.stat().st_mtime_ns
    assert read(str(file)) == ["old"]
    file.write_text('{"text": "new"}\n')
    os.utime(file, ns=(time, time))
    assert read(str(file)) == ["new"]


def test_nothing_is_left_on_disk_and_the_dataset_can_be_worked_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tmp", "home", "hub"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "a.jsonl").write_text(lines([{"text": str(i)} for i in range(100)]))
    dataset = user_text(dispersion={"text": str(tmp_path / "a.jsonl"), "max_documents": 50})["test"]
    assert [p for name in ("tmp", "home", "hub") for p in (tmp_path / name).iterdir()] == []
    doubled = dataset.map(lambda row: {"text": row["text"] * 2}, keep_in_memory=True)  # what a `process_docs` does
    assert doubled["text"] == [row["text"] * 2 for row in dataset]


def test_a_sample_is_random_without_replacement_in_file_order_and_its_seed_repeats_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"{i:03}"}) + "\n" for i in range(200)))
    file = str(tmp_path / "a.jsonl")
    sample = read(file, max_documents=50, seed=7)
    assert len(set(sample)) == 50 and sample == sorted(sample) and sample != read(file)[:50]
    assert read(file, max_documents=50, seed=7) == sample
    assert read(file, max_documents=50, seed=8) != sample
    assert read(file, max_documents=50) == read(file, max_documents=50, seed=0)
    assert read(file, max_documents=500) == read(file, max_documents="all") == read(file)
