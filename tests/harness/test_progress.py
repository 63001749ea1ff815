"""What a run draws on standard error: one bar for each corpus task of ours, and lm_eval's own for its own tasks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Cli, results, samples
from stock import STOCK, write_tasks

LIMIT = 5
BATCH = 4
OURS = ("dispersion_demo_news", "dispersion_demo_code")


def bars(stderr: str) -> list[tuple[str, int]]:
    """(what a bar is called, its total) in the order in which they begin; tqdm draws each once at nothing done."""
    drawn = re.findall(r"([^\r\n]*?):? *0%\|[^|\r\n]*\| 0/(\d+)", stderr)
    return [(name, int(total)) for name, total in drawn]


@pytest.fixture(scope="module")
def run(cli: Cli, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Standard error and output folder of a run of two corpora of ours beside a stock rolling task."""
    folder = tmp_path_factory.mktemp("progress")
    tasks = write_tasks(folder / "tasks", {"stock_rolling": STOCK["stock_rolling"]})
    done = cli(
        *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama},dtype=float32"),
        *("--tasks", f"stock_rolling,{','.join(OURS)}", "--include_path", str(tasks), "--limit", str(LIMIT)),
        *("--batch_size", str(BATCH), "--output_path", str(folder / "out"), "--log_samples"),
    )
    return done.stderr, folder / "out"


def test_a_corpus_task_of_ours_has_one_bar_of_all_its_windows(run: tuple[str, Path]) -> None:
    stderr, output = run
    record = {task: results(output)["configs"][task]["metadata"]["dispersion"]["counts"] for task in OURS}
    # A batch holds the end of the first task and the beginning of the second one.
    windows = {task: counts["segments"] + counts["short_windows"] for task, counts in record.items()}
    assert windows[OURS[0]] % BATCH
    assert [bar for bar in bars(stderr) if bar[0].startswith("dispersion")] == list(windows.items())
    for task, count in windows.items():
        assert re.search(rf"{task}: 100%\|[^\r\n]*\| {count}/{count} ", stderr)


def test_a_stock_rolling_task_beside_them_keeps_lm_evals_own_bars(run: tuple[str, Path]) -> None:
    stderr, output = run
    assert len(samples(output, "stock_rolling")) == LIMIT
    # lm_eval's rolling method draws one a batch; a report is one window of this model.
    theirs = [bar for bar in bars(stderr) if bar[0].endswith("Running loglikelihood requests")]
    assert [total for _, total in theirs] == [BATCH, LIMIT - BATCH]
