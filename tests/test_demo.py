"""``make demo`` from its models on, with a tiny one, and its numbers against the files that lm_eval wrote."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo() -> Iterator[ModuleType]:
    # As for a script, whose own folder comes first.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "examples"))
        yield importlib.import_module("demo")


@pytest.fixture(scope="module")
def out(demo: ModuleType, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is made, and in ``printed`` what is said of it; it is run twice."""
    folder = tmp_path_factory.mktemp("demo")
    models = [demo.Model(tiny_llama.name, f"pretrained={tiny_llama},dtype=float32")]
    demo.main(models, folder)
    measured = {file: file.stat().st_mtime_ns for file in (folder / "results").rglob("*.json*")}
    demo.main(models, folder)
    assert {file: file.stat().st_mtime_ns for file in (folder / "results").rglob("*.json*")} == measured
    (folder / "printed").write_text("\n".join(demo.summary(models, folder / "results", folder / "site")))
    return folder


def test_it_ends_with_three_lines_and_one_a_model_whose_numbers_are_the_results_files(
    demo: ModuleType, tiny_llama: Path, out: Path
) -> None:
    lines = (out / "printed").read_text().splitlines()
    assert len(lines) == 4
    (file,) = (out / "results" / tiny_llama.name).rglob("results_*.json")
    run: dict[str, Any] = json.loads(file.read_text())
    d, bits = lines[1].removeprefix(f"{tiny_llama.name}: D ").split("; bits per byte ")
    for said, name in ((d, "dispersion"), (bits, "bits_per_byte")):
        shown = [float(value) for value in re.findall(r"([\d.]+) ±", said)]
        assert shown == [round(run["results"][task][f"{name},none"], 3) for task in demo.CORPORA]
    errors = [float(value) for value in re.findall(r"± ([\d.]+)", d)]
    assert errors == [round(run["results"][task]["dispersion_stderr,none"], 3) for task in demo.CORPORA]
    assert (out / "site" / "index.html").is_file() and lines[3].startswith(f"Open {out / 'site' / 'index.html'}")


def test_the_board_holds_the_example_and_marks_what_was_just_measured(tiny_llama: Path, out: Path) -> None:
    text = (out / "site" / "data" / "models.js").read_text(encoding="utf-8")
    board = json.loads(text.removeprefix("window.LEADERBOARD=").rstrip(";\n"))
    names = [row[1][0] for row in board["rows"]]
    assert len(names) == 38 and "SmolLM2-135M-Instruct" in names
    (mine,) = [row for row in board["rows"] if "(just measured)" in row[1][0]]
    assert mine[1][0] == f"{tiny_llama.name} (just measured)"
    assert "(just measured)" in (out / "site" / mine[1][1]).read_text(encoding="utf-8")
    # The same documents: its numbers stand in the columns of the example's models.
    columns = [i for i, field in enumerate(board["fields"]) if field["key"] == "dispersion-demo-wiki"]
    assert all(row[columns[0]] is not None for row in board["rows"])
