"""A file that is broken, foreign, huge or hostile is named and skipped, and nothing else is lost."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dispersion_leaderboard.records._read import LARGEST, BadFile, read_rows
from runs import Run, new_run, read, write

GOOD_ROWS = 7


def skipped(folder: Path, name: str = "results_bad.json") -> str:
    """Why this file was skipped, beside a good one that was not."""
    write(folder, "good", new_run())
    found = read(folder)
    assert len(found.table) == GOOD_ROWS and set(found.table["source"]) == {"results_good.json"}
    ((skipped_name, why),) = found.skipped
    assert skipped_name == name
    return why


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "broken or truncated JSON"),
        (b'{"results": {"a": {"acc,n', "broken or truncated JSON"),
        (b'{"results": "\xff\xfe\xfa"}', "broken or truncated JSON"),
        (b"\x00" * 100, "broken or truncated JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "broken or truncated JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[1, 2]", "not written by lm_eval (no results and configs)"),
        (b"null", "not written by lm_eval (no results and configs)"),
        (b'{"results": []}', "not written by lm_eval (no results and configs)"),
        (b'{"results": {}, "configs": {}}', "no number in its results"),
        (b'{"results": {"a": {"acc": 1}}, "configs": {}}', "no number in its results"),
    ],
)
def test_content(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "results_bad.json").write_bytes(content)
    assert skipped(tmp_path) == why


def test_cut_at_any_place(tmp_path: Path) -> None:
    whole = json.dumps(new_run())
    for cut in range(0, len(whole) - 1, 997):
        (tmp_path / f"results_{cut:06}.json").write_text(whole[:cut])
    write(tmp_path, "good", new_run())
    found = read(tmp_path)
    assert len(found.table) == GOOD_ROWS and len(found.skipped) == len(range(0, len(whole) - 1, 997))
    assert {why for _, why in found.skipped} == {"broken or truncated JSON"}


def test_huge(tmp_path: Path) -> None:
    with (tmp_path / "results_bad.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    assert skipped(tmp_path) == "larger than 64 MiB"


def test_endless(tmp_path: Path) -> None:
    run = new_run()
    run["results"]["rivers"] = {f"m{i},none": 0.5 for i in range(60_000)}
    write(tmp_path, "bad", run)
    assert skipped(tmp_path) == "more than 50,000 metrics"


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results_bad.json")
    assert skipped(tmp_path) == "not a regular file"


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    write(tmp_path / "results_bad.json", "inside", new_run() | {"date": 1.0})
    write(tmp_path, "good", new_run())
    found = read(tmp_path)
    assert found.skipped == (("results_bad.json", "not a regular file"),)
    assert set(found.superseded["source"]) == {"results_bad.json/results_inside.json"}


@pytest.mark.parametrize("to", ["../outside.json", "/etc/hostname", "../../nothing", "results_bad.json"])
def test_links_to_outside_to_nothing_and_to_themselves(tmp_path: Path, to: str) -> None:
    (tmp_path / "outside.json").write_text(json.dumps(new_run() | {"date": 9e9}))
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "results_bad.json").symlink_to(to)
    why = skipped(folder)
    assert why == ("not a regular file" if to == "results_bad.json" else "a link to outside its folder")


def test_links_within_a_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "results_link.json").symlink_to("store/blob")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/blob").write_text(json.dumps(new_run()))
    found = read(tmp_path)
    assert len(found.table) == GOOD_ROWS and not found.skipped


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """A folder that this process reads without root's rights, which no mode holds off."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        if os.geteuid() != os.getuid():
            os.seteuid(os.getuid())


def test_unreadable(folder_of_nobody: Path) -> None:
    write(folder_of_nobody, "bad", new_run()).chmod(0)
    write(folder_of_nobody, "good", new_run()).chmod(0o644)
    if os.geteuid() == 0:
        os.seteuid(65534)
    found = read(folder_of_nobody)
    assert found.skipped == (("results_bad.json", "Permission denied"),)
    assert len(found.table) == GOOD_ROWS


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    Path(os.fsdecode(folder)).mkdir()
    for name, content in ((b"/results_bad.json", b"{"), (b"/results_good.json", json.dumps(new_run()).encode())):
        Path(os.fsdecode(folder + name)).write_bytes(content)
    found = read(tmp_path, cache=tmp_path / "cache")
    assert found.skipped == (("‹U+DCFF›‹U+DCFE›/results_bad.json", "broken or truncated JSON"),)
    assert set(found.table["source"]) == {"‹U+DCFF›‹U+DCFE›/results_good.json"}


def test_lone_surrogates(tmp_path: Path) -> None:
    text = json.dumps(new_run()).replace("tiny-llama", "tiny\\ud800llama").replace("rivers", "riv\\udfffers")
    (tmp_path / "results_a.json").write_text(text)
    found = read(tmp_path)
    assert set(found.table["model"]) == {"tiny‹U+D800›llama"} and "riv‹U+DFFF›ers" in set(found.table["task"])


@pytest.mark.parametrize("content", [None, "{", '{"results": {}, "configs": {}}'])
def test_nothing_to_read_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "results_a.json").write_text(content)
    with pytest.raises(SystemExit) as stop:
        read(tmp_path)
    said = str(stop.value)
    assert said.startswith(f"leaderboard: no results_*.json of lm_eval below {tmp_path}") and "\n" not in said
    assert ("skipped results_a.json" in said) == bool(content)


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"leaderboard: no folder .*none; give what lm_eval's --output_path was"):
        read(tmp_path / "none")


WRONG: list[Any] = [None, [], {}, "x", -1, 1e400, True]


def places(value: Any, depth: int, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, to a depth."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if depth:
        for key, below in inner:
            yield from places(below, depth - 1, (*path, key))


def replaced(run: Run, path: tuple[Any, ...], value: Any) -> Run:
    run = copy.deepcopy(run)
    inner: Any = run
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return run


def test_any_wrong_value_at_any_place_to_depth_four(tmp_path: Path) -> None:
    run = new_run()
    run["pretty_env_info"] = "short"
    write(tmp_path, "good", run)
    read_before = read(tmp_path).table
    tried = refused = 0
    for path in places(run, 4):
        for wrong in WRONG:
            file = write(tmp_path / "all", f"{tried}", replaced(run, path, wrong) | {"date": -1.0})
            tried += 1
            try:
                rows = read_rows(file, "x")
            except BadFile as error:
                refused += 1
                assert "not understood" not in str(error), (path, wrong)
                continue
            assert rows
    assert tried > 1000 and refused < 30
    # All of them as one folder beside the good file: the build goes on, and the good rows are there.
    found = read(tmp_path)
    assert len(found.skipped) == refused
    mine = found.table[found.table["source"] == "results_good.json"]
    assert len(mine) == len(read_before)


def test_any_wrong_value_in_a_record(tmp_path: Path) -> None:
    run = new_run()
    record = run["configs"]["capitals"]["metadata"]["dispersion"]
    count = 0
    for path in places(record, 4):
        for wrong in WRONG:
            changed = replaced(record, path, wrong)
            run["configs"]["capitals"]["metadata"]["dispersion"] = changed
            run["config"]["model_args"] = f"pretrained=org/m{count}"
            write(tmp_path, f"{count:05}", run)
            count += 1
    found = read(tmp_path)
    assert not found.skipped and found.table["model"].nunique() == count > 200
