"""``dispersion_text``: each kind of file is read as what it is, and a sample is the one asked for."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from lm_eval_dispersion.corpora import user_text

TEXTS = ["The first text, with a comma.", 'The "second"\nof two lines.', "Zürich, naïve, 東京."]


def read(text: object, **options: object) -> list[str]:
    return list(user_text(dispersion={"text": text, **options}, pretrained="ignored")["test"]["text"])


def write(folder: Path, ending: str) -> Path:
    file = folder / f"corpus{ending}"
    if ending == ".parquet":
        from datasets import Dataset

        Dataset.from_dict({"body": TEXTS, "id": [1, 2, 3]}).to_parquet(str(file))
        return file
    opener = gzip.open if ending.endswith(".gz") else open
    with opener(file, "wt", encoding="utf-8", newline="") as stream:
        if ".jsonl" in ending:
            stream.writelines(json.dumps({"body": text, "id": i}) + "\n" for i, text in enumerate(TEXTS))
        elif ".json" in ending:
            json.dump([{"body": text, "id": i} for i, text in enumerate(TEXTS)], stream)
        else:
            writer = csv.writer(stream, delimiter="\t" if ".tsv" in ending else ",")
            writer.writerows([["id", "body"], *([i, text] for i, text in enumerate(TEXTS))])
    return file


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", ".tsv.gz"])
def test_a_row_is_a_document(ending: str, tmp_path: Path) -> None:
    assert read(str(write(tmp_path, ending)), field="body") == TEXTS


def test_a_text_file_is_a_document_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text(TEXTS[1], encoding="utf-8")
    (tmp_path / "sub" / "b.txt.gz").write_bytes(gzip.compress(TEXTS[2].encode()))
    assert read(str(tmp_path / "**/*.txt*")) == TEXTS[1:]
    assert read([str(tmp_path / "a.txt"), str(tmp_path / "sub/*")]) == TEXTS[1:]


def test_rows_without_text_are_left_out(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"text": ""}, {"text": None}, {"text": " \n"}, {"text": "two"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(str(tmp_path / "a.jsonl")) == ["one", "two"]


def test_a_sample_is_random_without_replacement_in_file_order_and_its_seed_repeats_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"{i:03}"}) + "\n" for i in range(200)))
    file = str(tmp_path / "a.jsonl")
    sample = read(file, max_documents=50, seed=7)
    assert len(set(sample)) == 50 and sample == sorted(sample) and sample != read(file)[:50]
    assert read(file, max_documents=50, seed=7) == sample
    assert read(file, max_documents=50, seed=8) != sample
    assert read(file, max_documents=50) == read(file, max_documents=50, seed=0)
    assert read(file, max_documents=500) == read(file)
