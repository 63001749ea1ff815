"""``dispersion-leaderboard`` on the measured example: what it answers, and what it says of a mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLE = Path(__file__).parent / "example"
RESULTS = ["--results", str(EXAMPLE / "results"), "--overrides", str(EXAMPLE / "overrides.yaml")]


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("dispersion-leaderboard")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_records_are_printed_and_exported(tmp_path: Path) -> None:
    printed = run("records", *RESULTS)
    assert printed.returncode == 0 and "SmolLM2-135M-Instruct" in printed.stdout
    tables = {}
    for suffix, read in ((".parquet", pd.read_parquet), (".csv", pd.read_csv), (".json", pd.read_json)):
        done = run("records", *RESULTS, "--out", str(tmp_path / f"table{suffix}"))
        assert done.returncode == 0, done.stderr
        tables[suffix] = read(tmp_path / f"table{suffix}")
    assert len({len(t) for t in tables.values()}) == 1
    assert tables[".csv"]["value"].to_numpy() == pytest.approx(tables[".parquet"]["value"].to_numpy())
    assert set(tables[".parquet"]["family"]) == {"SmolLM2", "Gemma 3", "GPT-2", "GPT-NeoX"}
    assert tables[".parquet"]["limited"].all()


def test_a_prediction_says_how_sure_it_is_how_it_was_validated_and_when_not_to_trust_it() -> None:
    done = run("predict", *RESULTS, "--task", "news_next_words", "--model", "SmolLM2-135M-Instruct")
    assert done.returncode == 0, done.stderr
    said = done.stdout
    found = re.search(r"predicted accuracy ([\d.]+) %, 90 % interval ([\d.]+) to ([\d.]+) %", said)
    assert found and float(found[2]) <= float(found[1]) <= float(found[3])
    assert re.search(r"from \d+ models of 4 families", said)
    assert "whole families left out" in said and "the mean errs" in said
    assert "does not beat predicting the mean" in said


def test_a_benchmark_on_which_all_stand_at_chance_is_not_predicted() -> None:
    done = run("predict", *RESULTS, "--task", "demo_mmlu", "--model", "SmolLM2-135M-Instruct")
    assert done.returncode == 1 and "no signal" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["records", "--results", "nowhere"], "no folder nowhere"),
        (["predict", *RESULTS, "--task", "news_next_word", "--model", "gemma-3-270m"], "did you mean news_next_words"),
        (["predict", *RESULTS, "--task", "news_next_words", "--model", "gema-3-270m"], "did you mean gemma-3-270m"),
        (["predict", *RESULTS, "--domain", "law", "--model", "gemma-3-270m"], "there is one on"),
        (["predict", *RESULTS, "--domain", "demo_wiki", "--model", "gemma-3-270m"], "not enough domains"),
        (["records", *RESULTS, "--out", "table.xlsx"], "name it .parquet, .csv or .json"),
        (["records", *RESULTS[:2], "--overrides", "no.yaml", "--out", "t.csv"], "cannot read no.yaml"),
        (["publish", "--site", "nowhere", "--space", "a/b"], "dispersion-leaderboard build"),
    ],
)
def test_a_mistake_is_one_line_with_the_fix(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("leaderboard: ") and said in done.stderr and done.stderr.count("\n") == 1
