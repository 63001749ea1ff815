"""The same table, to the byte, whether read from scratch, from the cache, or after some files have changed."""

from __future__ import annotations

import copy
import os
import random
from pathlib import Path

import pandas as pd
import pytest
from dispersion_leaderboard.records import Records, write_parquet, write_table
from runs import new_run, read, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty runs of nine models; some say of a model what the others do not."""
    order = list(range(60))
    random.Random(0).shuffle(order)
    for i in order:
        run = new_run()
        run["date"] += i * 1000
        run["config"]["model_args"] = f"pretrained=org/m{i % 9}-7b"
        run["config"]["model_num_parameters"] = 1000 + i
        record = run["configs"]["capitals"]["metadata"]["dispersion"]
        record["model"]["parameters"] = None
        record["model"]["tokenizer_hash"] = f"{i % 7:064x}" if i % 2 else None
        run["results"]["capitals"]["acc,none"] = i / 60
        run["n-shot"] = dict.fromkeys(run["n-shot"], i % 3)
        write(tmp_path / "runs" / f"m{i % 5}", str(i), run)
    return tmp_path / "runs"


def equal(a: Records, b: Records, folder: Path) -> None:
    pd.testing.assert_frame_equal(a.table, b.table)
    pd.testing.assert_frame_equal(a.superseded, b.superseded)
    assert a.skipped == b.skipped
    for i, records in enumerate((a, b)):
        write_parquet(records.table, folder / f"{i}.parquet")
    assert (folder / "0.parquet").read_bytes() == (folder / "1.parquet").read_bytes()


def test_from_the_cache_and_from_scratch(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = read(folder, cache=cache)
    equal(first, read(folder), tmp_path)
    equal(first, read(folder, cache=cache), tmp_path)


def test_after_files_were_changed_added_and_removed(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = read(folder, cache=cache)
    changed = next(folder.rglob("results_7.json"))
    stat = changed.stat()
    text = changed.read_text()
    changed.write_text(text.replace('"acc,none": 0.5', '"acc,none": 0.9'))
    # As a copying program would leave it: neither size nor time tell.
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert changed.stat().st_size == stat.st_size and changed.read_text() != text
    next(folder.rglob("results_11.json")).unlink()
    next(folder.rglob("results_59.json")).write_text("{")
    run = new_run()
    run["date"] -= 5000
    write(folder / "~new", "a (2)", run)
    after = read(folder, cache=cache)
    equal(after, read(folder), tmp_path)
    assert not after.table.equals(before.table)
    assert [name for name, _ in after.skipped] == ["m4/results_59.json"]
    equal(after, read(folder, cache=cache), tmp_path)


def test_what_could_not_be_read_is_tried_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    bad = folder / "results_link.json"
    bad.symlink_to(folder / "later.json")
    assert [name for name, _ in read(folder, cache=cache).skipped] == ["results_link.json"]
    (folder / "later.json").write_bytes(next(folder.rglob("results_1.json")).read_bytes())
    found = read(folder, cache=cache)
    assert not found.skipped
    equal(found, read(folder), tmp_path)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"reader": 1, "files": []}', "null", "\x00"])
def test_a_broken_cache_is_no_harm(folder: Path, tmp_path: Path, index: str) -> None:
    cache = tmp_path / "cache"
    first = read(folder, cache=cache)
    (cache / "records.json").write_text(index)
    equal(first, read(folder, cache=cache), tmp_path)
    (cache / "records.parquet").write_bytes(b"PAR1")
    equal(first, read(folder, cache=cache), tmp_path)


def test_names_that_are_cleaned_stay_in_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for i, name in enumerate(["hf_" + "A" * 30, "hf_" + "B" * 30, "__home__alice__m", "x\u202ey", "(a)", "token=abc"]):
        run = new_run()
        run["config"]["model_args"] = f"pretrained=org/m{i}"
        write(folder / name, "a", run)
    cache = tmp_path / "cache"
    first = read(folder, cache=cache)
    assert set(first.table["source"]) == {
        "[redacted]/results_a.json", "[redacted]/results_a.json (2)", "m/results_a.json", "x‹U+202E›y/results_a.json",
        "(a)/results_a.json", "token=[redacted]/results_a.json",
    }  # fmt: skip
    run = new_run()
    run["config"]["model_args"] = "pretrained=org/new"
    write(folder / "(a)", "a", run)
    equal(read(folder, cache=cache), read(folder), tmp_path)


def test_folders_of_one_name_and_folders_within_each_other(tmp_path: Path) -> None:
    for i, name in enumerate(["a/out", "b/out", "b/out/deep"]):
        run = copy.deepcopy(new_run())
        run["config"]["model_args"] = f"pretrained=org/m{i}"
        write(tmp_path / name, "x", run)
    found = read(tmp_path / "a/out", tmp_path / "b/out", tmp_path / "b/out/deep")
    assert set(found.table["model"]) == {"org/m0", "org/m1", "org/m2"}
    assert set(found.table["source"]) == {
        "out/results_x.json", "out/results_x.json (2)", "out/deep/results_x.json"
    }  # fmt: skip
    assert found.superseded.empty


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_exports_hold_the_table(folder: Path, tmp_path: Path, kind: str) -> None:
    table = read(folder).table
    write_table(table, tmp_path / f"out.{kind}")
    read_back = getattr(pd, f"read_{kind}")(tmp_path / f"out.{kind}")
    assert list(read_back) == list(table) and len(read_back) == len(table)
    pd.testing.assert_series_equal(read_back["value"], table["value"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out.{kind}", "runs"]


def test_an_export_of_another_name_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"leaderboard: .*out\.xls: name it"):
        write_table(read(folder).table, tmp_path / "out.xls")
