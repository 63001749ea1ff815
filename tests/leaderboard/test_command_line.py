"""``dispersion-leaderboard`` on the measured example: what it answers, and what it says of a mistake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command_line import COMMANDS, SCRIPT, typed, values

EXAMPLE = Path(__file__).parent / "example"
RESULTS = ["--results", str(EXAMPLE / "results"), "--overrides", str(EXAMPLE / "overrides.yaml")]


def test_records_are_printed_and_exported(tmp_path: Path) -> None:
    printed = typed("records", *RESULTS)
    assert printed.returncode == 0 and "SmolLM2-135M-Instruct" in printed.stdout
    tables = {}
    for suffix, read in ((".parquet", pd.read_parquet), (".csv", pd.read_csv), (".json", pd.read_json)):
        done = typed("records", *RESULTS, "--out", str(tmp_path / f"table{suffix}"))
        assert done.returncode == 0, done.stderr
        tables[suffix] = read(tmp_path / f"table{suffix}")
    assert len({len(t) for t in tables.values()}) == 1
    assert tables[".csv"]["value"].to_numpy() == pytest.approx(tables[".parquet"]["value"].to_numpy())
    assert set(tables[".parquet"]["family"]) == {"SmolLM2", "Gemma 3", "GPT-2", "GPT-NeoX"}
    assert tables[".parquet"]["limited"].all()


def test_a_prediction_says_how_sure_it_is_how_it_was_validated_and_when_not_to_trust_it() -> None:
    done = typed("predict", *RESULTS, "--task", "news_next_words", "--model", "SmolLM2-135M-Instruct")
    assert done.returncode == 0, done.stderr
    said = done.stdout
    found = re.search(r"predicted accuracy ([\d.]+) %, 90 % interval ([\d.]+) to ([\d.]+) %", said)
    assert found and float(found[2]) <= float(found[1]) <= float(found[3])
    assert re.search(r"from \d+ models of 4 families", said)
    assert "whole families left out" in said and "the mean errs" in said
    assert "does not beat predicting the mean" in said


def test_a_benchmark_on_which_all_stand_at_chance_is_not_predicted() -> None:
    done = typed("predict", *RESULTS, "--task", "demo_mmlu", "--model", "SmolLM2-135M-Instruct")
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
def test_a_mistake_is_one_line_with_the_fix(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = typed(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("leaderboard: ") and said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "missing command (see `dispersion-leaderboard --help`)"),
        (["sumit"], "no such command 'sumit'. Did you mean 'submit'?"),
        (["build", "--out", "s"], "missing option '--results' (see `dispersion-leaderboard build --help`)"),
        (["build", "--results"], "'--results' requires an argument"),
        (["build", "--reslts", "a"], "--reslts (Possible options: --results)"),
        (["build", *RESULTS, "--out", "s", "--", "b"], "unexpected extra argument(s) (b)"),
        (["serve", "--port", "x"], "'--port'"),
        (["predict", *RESULTS, "--model", "m"], "give one of --task and --domain"),
        (["predict", *RESULTS, "--model", "m", "--task", "t", "--domain", "d"], "give one of --task and --domain"),
        (["submit", "m/m", "--queue", "q", "--precision", "int8"], "'int8' is not one of 'auto', 'float32'"),
        (["requeue", "--queue", "q"], "missing argument 'ID'"),
        (["work", "--queue", "q", "--store", "s"], "give one of --once and --forever"),
        (["work", "--queue", "q", "--store", "s", "--once", "--forever"], "give one of --once and --forever"),
        (["work", "--queue", "q", "--store", "s", "--once", "--slots", "0"], "'--slots'"),
        (["work", "--queue", "q", "--store", "s", "--once", "--lease", "nan"], "'--lease': nan is no amount"),
        (["work", "--queue", "q", "--store", "s", "--once", "--largest", "inf"], "'--largest': inf is no amount"),
        (["work", "--queue", "q", "--store", "s", "--once", "--gpus", "two"], "'--gpus'"),
    ],
)
def test_what_cannot_be_typed_is_one_line_and_status_two(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = typed(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("leaderboard: ") and said in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "--results a hf://datasets/o/b - --out s",
        "--out s --results a hf://datasets/o/b -",
        "--results a --results hf://datasets/o/b - --out s",
        "--results=a --out=s --results hf://datasets/o/b --results -",
    ],
)
def test_several_results_stand_after_one_option_or_each_after_its_own(line: str) -> None:
    given = values(["build", *line.split()])
    assert (given["results"], given["out"]) == (["a", "hf://datasets/o/b", "-"], Path("s"))


def test_what_stands_after_two_dashes_is_a_model_and_never_an_option() -> None:
    given = values(["submit", "a/b", "--queue", "q", "--", "--dry-run", "-h", "--", ""])
    assert (given["models"], given["dry_run"]) == (["a/b", "--dry-run", "-h", "--", ""], False)


def test_options_of_lm_eval_keep_its_spelling_and_nothing_is_not_the_default() -> None:
    given = values(
        ["work", "--queue", "q", "--store", "s", "--model_args", "a=1,b=2", "--batch_size=auto", "--install", ""]
    )
    assert (given["model_args"], given["batch_size"], given["install"]) == ("a=1,b=2", "auto", "")
    assert values(["work", "--queue", "q", "--store", "s"])["install"] is None


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_of_each_command_fits_one_screen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for option in ("-h", "--help"):
        done = typed(*name.split(), option)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Usage: dispersion-leaderboard {name}".strip() in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80 and done.stdout.count("\n") <= 50


def test_help_comes_before_anything_heavy_is_imported() -> None:
    code = (
        "import json, sys\nfrom dispersion_leaderboard.commands import main\n"
        "try:\n    main(['work', '--help'])\nfinally:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--executor" in done.stdout
    imported = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert not imported & {"pandas", "numpy", "huggingface_hub", "torch", "transformers", "lm_eval", "ray", "tqdm"}
    assert "typer" in imported


def test_the_installed_script_says_what_this_process_says(tmp_path: Path) -> None:
    for arguments in (["records", "--results", str(tmp_path / "none")], ["build"]):
        done, here = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True), typed(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (here.returncode, here.stdout, here.stderr)


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    command = f"'{SCRIPT}' records --results '{RESULTS[1]}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_and_a_place_that_cannot_be_written_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'lm_eval'", name="lm_eval")

    (tmp_path / "file").touch()
    # One results file: of many, a bar is drawn where reading takes a while, as on a busy machine.
    (tmp_path / "one").mkdir()
    shutil.copy(next(Path(RESULTS[1]).rglob("results_*.json")), tmp_path / "one")
    done = typed("records", "--results", str(tmp_path / "one"), "--out", str(tmp_path / "file" / "t.csv"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("leaderboard: ") and str(tmp_path / "file") in done.stderr
    for wrong, said in (
        (stopped, "leaderboard: interrupted; what was finished is kept\n"),
        (missing, "leaderboard: lm_eval is missing; pip install 'dispersion-leaderboard[local]'\n"),
    ):
        monkeypatch.setattr("dispersion_leaderboard.records.read_records", wrong)
        done = typed("records", *RESULTS)
        assert (done.returncode, done.stderr) == (1, said)
