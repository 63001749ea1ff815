"""lm_eval's own numbers with the plugin recording: bit-identical, on a real model, for every request type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, results, samples
from stock import STOCK, recorded, write_tasks

pytestmark = pytest.mark.long

LIMIT = 4  # at a batch size of 3: a whole batch, and one that is not


@pytest.fixture(scope="module")
def runs(cli: Cli, smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Output folders of two runs of the same requests: stock, and recording."""
    folder = tmp_path_factory.mktemp("runs")
    tasks = write_tasks(folder / "tasks", STOCK)
    outputs = []
    options = ("--metadata", '{"dispersion": {"signals": "all"}}')  # all that there is beside D
    for name, wanted, more in (("stock", list(STOCK), ()), ("recording", list(map(recorded, STOCK)), options)):
        # Stock rolling windows are cut at 512 only where max_length says so; ours are by themselves.
        cli(
            *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={smollm2},dtype=float32,max_length=512"),
            *("--tasks", ",".join(wanted), "--include_path", str(tasks), "--limit", str(LIMIT)),
            *("--batch_size", "3", "--output_path", str(folder / name), "--log_samples"),
            *more,
        )
        outputs.append(folder / name)
    return outputs[0], outputs[1]


@pytest.mark.parametrize("task", STOCK)
def test_every_answer_is_bit_identical_to_stock(runs: tuple[Path, Path], task: str) -> None:
    stock, ours = samples(runs[0], task), samples(runs[1], recorded(task))
    assert len(stock) >= LIMIT
    for theirs, mine in zip(stock, ours, strict=True):
        for key in ("arguments", "resps", "filtered_resps", "prompt_hash", "doc_hash", "target_hash", "filter"):
            assert mine[key] == theirs[key]  # lm_eval logs answers as strings: equal is bit-identical
        assert theirs["resps"]


@pytest.mark.parametrize("task", STOCK)
def test_every_stock_metric_version_and_setting_is_unchanged(runs: tuple[Path, Path], task: str) -> None:
    stock, ours = results(runs[0]), results(runs[1])
    mine = ours["results"][recorded(task)]
    for key, value in stock["results"][task].items():
        if key not in ("name", "alias"):
            assert mine[key] == value
    for part in ("versions", "n-shot"):
        assert ours[part][recorded(task)] == stock[part][task]
    assert ours["higher_is_better"][recorded(task)] == stock["higher_is_better"][task]
    assert ours["n-samples"][recorded(task)] == stock["n-samples"][task]


def test_dispersion_stands_beside_the_stock_metrics_under_every_filter(runs: tuple[Path, Path]) -> None:
    ours = results(runs[1])["results"]
    for task in STOCK:
        filters = ("first-letter", "whole") if task == "stock_generate" else ("none",)
        numbers: list[Any] = []
        for name in filters:
            row = ours[recorded(task)]
            numbers.append([row[f"{m},{name}"] for m in ("dispersion", "dispersion_stderr", "dispersion_across")])
            assert 0 < row[f"dispersion,{name}"] < 1
            assert row[f"dispersion_stderr,{name}"] > 0
            assert row[f"dispersion_across_stderr,{name}"] > 0
        assert numbers[0] == numbers[-1]
        assert not [key for key in row if "stderr_stderr" in key]


def test_the_printed_table_has_a_row_a_metric_and_none_a_layer(cli: Cli, runs: tuple[Path, Path]) -> None:
    # 30 layers are in the record; the table shows what `results` holds.
    rows = results(runs[1])["results"][recorded("stock_rolling")]
    assert len([key for key in rows if key.endswith(",none") and "_stderr" not in key]) == 7
    record = results(runs[1])["configs"][recorded("stock_rolling")]["metadata"]["dispersion"]
    assert record["layers"] == list(range(31))
