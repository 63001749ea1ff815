"""What ``lm-eval-dispersion show`` says of real runs, and of files that are none."""

from __future__ import annotations

import copy
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, results

from lm_eval_dispersion.commands import main

EXAMPLE = Path(__file__).parents[1] / "leaderboard" / "example" / "results"
GEMMA = EXAMPLE / "gemma-3-270m" / "results_2026-11-25T08-22-09.113231.json"
NO_RECORD = Path(__file__).parents[1] / "leaderboard" / "records" / "fixtures" / "0.4.8" / "results_plain.json"

Show = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Show:
    """Exit status, standard output, and lines on standard error; 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*paths: Path) -> tuple[int, str, list[str]]:
        status = main(["show", *map(str, paths)])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


@pytest.fixture(scope="module")
def out(cli: Cli, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of plain lm_eval: a corpus, a labelled task of two metrics, and a task that records nothing."""
    folder = tmp_path_factory.mktemp("show")
    (folder / "data.jsonl").write_text('{"q": "Is it?", "a": "yes"}\n' * 3)
    (folder / "stock_question.yaml").write_text(
        f"task: stock_question\ndataset_path: json\ndataset_kwargs: {{data_files: {folder / 'data.jsonl'}}}\n"
        "test_split: train\noutput_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_target: 0\n"
        "doc_to_choice: ['yes', 'no']\n"
    )
    cli(
        *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama},dtype=float32"),
        *("--tasks", "dispersion_demo_news,dispersion_demo_mmlu,stock_question", "--limit", "6"),
        *("--include_path", str(folder), "--output_path", str(folder / "out"), "--log_samples"),
        HF_HOME=str(folder / "home"),
    )
    return folder / "out"


def part(printed: str, task: str) -> str:
    """What is printed of one task."""
    return printed.split(f"\n  {task}\n")[1].split("\n\n")[0]


def value(lines: str, label: str) -> str:
    """A value of a task, its lines joined."""
    found = re.search(rf"^    {label} {{2,}}(.*(?:\n {{22}}.*)*)", lines, re.MULTILINE)
    assert found, (label, lines)
    return " ".join(found[1].split())


def test_a_run_of_lm_eval_is_shown_with_the_numbers_of_its_results_file(out: Path, show: Show) -> None:
    status, printed, said = show(out)
    assert status == 0 and said == []
    run = results(out)
    (file,) = out.rglob("results_*.json")
    assert printed.splitlines()[0] == run["model_name"]
    assert str(file) in printed and "docs/results.md" in printed

    news, mmlu = part(printed, "dispersion_demo_news"), part(printed, "dispersion_demo_mmlu")
    for task, lines in (("dispersion_demo_news", news), ("dispersion_demo_mmlu", mmlu)):
        numbers, record = run["results"][task], run["configs"][task]["metadata"]["dispersion"]
        d = f"{numbers['dispersion,none']:.4f} ± {numbers['dispersion_stderr,none']:.4f} "
        assert value(lines, "D").startswith(f"{d}n = {record['within']['n'][-1]} ")
        across = f"{numbers['dispersion_across,none']:.4f} ± {numbers['dispersion_across_stderr,none']:.4f} "
        assert value(lines, "D across").startswith(f"{across}n = {record['across']['n'][-1]} ")
        counts = record["counts"]
        assert f"documents {counts['documents']:,}, " in value(lines, "counts")
        assert f"vectors {counts['vectors']:,}" in value(lines, "counts")
        assert record["corpus"]["hash"][:12] in value(lines, "text")
        assert "h[0] to h[2]" in value(lines, "measured")
        (samples,) = out.rglob(f"samples_{task}_*.jsonl")
        assert value(lines, "samples") == str(samples)
        profile = record["within"]["mean"]
        assert f"least {min(profile):.4f} at h[{profile.index(min(profile))}], " in value(lines, "D by layer")
    assert value(news, "bits per byte").startswith(
        f"{run['results']['dispersion_demo_news']['bits_per_byte,none']:.4f} "
    )
    acc = run["results"]["dispersion_demo_mmlu"]
    assert value(mmlu, "acc") == f"{acc['acc,none']:.4f} ± {acc['acc_stderr,none']:.4f}"
    signals = run["configs"]["dispersion_demo_mmlu"]["metadata"]["dispersion"]["signals"]
    shown = ", ".join(f"{k.replace('_', ' ')} {v['mean']:.4f} ± {v['stderr']:.4f}" for k, v in signals.items())
    assert value(mmlu, "signals") == f"{shown} (n = 6)" and "\n    signals" not in news
    assert value(news, "counts").endswith("; left out: nothing")
    assert "windows of 512 tokens" in value(news, "measured") and "prompts whole" in value(mmlu, "measured")
    assert "no dispersion recorded: stock_question (wrap it: dispersion_stock_question)" in printed


def test_every_example_run_is_shown_by_folder_and_one_by_its_file(show: Show) -> None:
    status, printed, said = show(EXAMPLE)
    assert status == 0 and said == []
    for file in EXAMPLE.rglob("results_*.json"):
        assert str(file) in printed
    status, printed, said = show(GEMMA)
    assert status == 0 and printed.count("    D by layer") == 3


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal_but_paths_and_lists_of_names(
    columns: int, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    _, printed, _ = show(GEMMA)
    lines = [line for line in printed.splitlines() if line.startswith("    ") and "samples" not in line]
    assert columns - 20 < max(map(len, lines)) <= columns
    assert not any(line.endswith(" ") for line in printed.splitlines())


def profile_heights(lines: str) -> list[float]:
    """Heights of a chart's bars, in rows, read off the block characters."""
    rows = [line.split("┤")[1] for line in lines.splitlines() if "┤" in line]
    widest = max(map(len, rows))
    columns = zip(*(row.ljust(widest) for row in rows), strict=True)
    return [sum(" ▁▂▃▄▅▆▇█".index(c) for c in column) / 8 for column in columns]


def test_the_bars_are_as_high_as_the_values(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, printed, _ = show(GEMMA)
    profile = json.loads(GEMMA.read_text())["configs"]["dispersion_demo_code"]["metadata"]["dispersion"]["within"][
        "mean"
    ]
    heights = [h for h in profile_heights(part(printed, "dispersion_demo_code")) if h]
    assert len(heights) == len(profile)
    assert heights == pytest.approx([5 * v / max(profile) for v in profile], abs=1 / 8)


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The Gemma run with one task, changed, as a file of its own."""
    run = json.loads(GEMMA.read_text())
    for part_of in ("configs", "results"):
        run[part_of] = {"dispersion_demo_code": run[part_of]["dispersion_demo_code"]}
    change(run)
    file = tmp_path / "mine_2026-11-25T08-22-09.113231.json"  # as lm_eval names it for --output_path mine.json
    file.write_text(json.dumps(run))
    return file


def record_of(run: dict[str, Any]) -> dict[str, Any]:
    return dict(run["configs"]["dispersion_demo_code"]["metadata"])["dispersion"]  # type: ignore[no-any-return]


def test_many_layers_share_bars_and_the_chart_says_so(tmp_path: Path, show: Show) -> None:
    def deep(run: dict[str, Any]) -> None:
        record = record_of(run)
        record["layers"] = list(range(161))
        for key in ("mean", "stderr", "n"):
            record["within"][key] = [record["within"][key][0]] * 161

    _, printed, _ = show(changed(tmp_path, deep))
    assert "a bar is the mean of 3 layers" in printed and "h[160]" in printed
    assert all(len(line) <= 100 for line in printed.splitlines() if line.startswith("    "))


def test_a_number_that_is_null_says_why(tmp_path: Path, show: Show) -> None:
    def cached(run: dict[str, Any]) -> None:
        record_of(run).update(across=None, all_pairs=None)
        record_of(run)["counts"]["cached_answers"] = 3

    def short(run: dict[str, Any]) -> None:
        empty: dict[str, list[float]] = {"mean": [], "stderr": [], "n": []}
        record_of(run).update(within=empty, layers=[], across={"dispersion": [], "stderr": [], "n": []})
        record_of(run)["counts"].update(segments=0, vectors=0, short_windows=7)

    def alone(run: dict[str, Any]) -> None:
        record_of(run)["within"]["stderr"][-1] = None
        record_of(run)["counts"]["documents"] = 1

    def infinite(run: dict[str, Any]) -> None:
        record_of(run)["within"]["mean"][5] = record_of(run)["within"]["mean"][-1] = None
        record_of(run)["counts"]["nonfinite_vectors"] = 12

    _, printed, _ = show(changed(tmp_path, cached))
    assert value(printed, "D across") == "none: 3 answers came from --use_cache, which keeps no vectors"
    _, printed, _ = show(changed(tmp_path, short))
    assert value(printed, "D") == "none: none of 7 windows has 64 vectors" and value(printed, "D by layer") == "none"
    assert value(printed, "counts").endswith("; left out: windows shorter than 64 vectors 7")
    _, printed, _ = show(changed(tmp_path, lambda run: (short(run), record_of(run).update(layers=[0, 1]))))
    assert value(printed, "D by layer") == "none"
    _, printed, _ = show(changed(tmp_path, alone))
    assert value(printed, "D").endswith("no standard error: one document")
    _, printed, _ = show(changed(tmp_path, infinite))
    assert value(printed, "D") == "none: vectors of the last layer are zero or not finite"
    assert value(printed, "counts").endswith("left out: vectors that are not finite 12")
    assert "none at h[5], h[18]" in value(printed, "D by layer")


def test_signals_by_layer_are_shown_at_the_last_one_and_those_without_a_value_not(tmp_path: Path, show: Show) -> None:
    def signals(run: dict[str, Any]) -> None:
        by_layer = {"layers": [0, 18], "mean": [1.0, 2.5], "stderr": [0.1, None], "n": [8, 7]}
        nothing = {"layers": None, "mean": None, "stderr": None, "n": 0}
        none_shown = {"layers": [], "mean": [], "stderr": [], "n": []}
        one = {"layers": None, "mean": -3.25, "stderr": 0.5, "n": 8}
        names = ("rankme", "margin", "effective_rank", "prompt_loglikelihood")
        record_of(run)["signals"] = dict(zip(names, (by_layer, nothing, none_shown, one), strict=True))

    _, printed, _ = show(changed(tmp_path, signals))
    assert value(printed, "signals") == (
        "rankme at h[18] 2.5000 (n = 7), prompt loglikelihood -3.2500 ± 0.5000 (n = 8)"
    )


def test_an_engine_that_shows_the_last_hidden_state_alone_has_no_chart(tmp_path: Path, show: Show) -> None:
    def last(run: dict[str, Any]) -> None:
        record_of(run)["layers"] = [18]
        for pairs, keys in (("within", ("mean", "stderr", "n")), ("across", ("dispersion", "stderr", "n"))):
            for key in keys:
                record_of(run)[pairs][key] = record_of(run)[pairs][key][-1:]

    _, printed, _ = show(changed(tmp_path, last))
    assert "h[18] alone" in value(printed, "measured") and "┤" not in printed
    assert value(printed, "D").startswith("0.5072 ± 0.0188 n = 8 ")


def test_what_a_stranger_wrote_is_shown_and_not_obeyed(tmp_path: Path, show: Show) -> None:
    bad = "[bold red]x[/]\x1b[31m\x1b]0;title\x07\u202eevil\nD  9.9999\r\ud800"

    def hostile(run: dict[str, Any]) -> None:
        run["model_name"] = bad
        record_of(run)["engine"]["lm_class"] = record_of(run)["model"]["model_type"] = bad
        record_of(run)["corpus"]["name"] = bad
        run["results"]["dispersion_demo_code"][f"{bad},none"] = 1.0
        run["results"]["dispersion_demo_code"].pop("bits_per_byte,none")
        run["configs"][bad] = copy.deepcopy(run["configs"]["dispersion_demo_code"])
        run["configs"]["../" + "n" * 5000] = {}

    _, printed, said = show(changed(tmp_path, hostile))
    everything = "".join([printed, *said])
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", everything)
    assert printed.splitlines()[0] == "[bold red]x[/] [31m ]0;title evil D 9.9999"
    assert "\nD " not in printed and max(map(len, printed.splitlines())) < 300


NOT_RECORDS: list[Callable[[dict[str, Any]], object]] = [
    lambda run: run["configs"]["dispersion_demo_code"]["metadata"].update(dispersion="yes"),
    lambda run: run["configs"]["dispersion_demo_code"]["metadata"].update(dispersion={}),
    lambda run: record_of(run).update(within={"mean": {}, "stderr": 1, "n": "x"}),
    lambda run: record_of(run).update(layers=[1, 2]),
    lambda run: record_of(run).update(counts={"documents": "three"}),
    lambda run: record_of(run).update(layers=None, counts=[]),
    lambda run: record_of(run)["within"].update(n=[]),
    lambda run: record_of(run).update(signals=[1]),
    lambda run: record_of(run).update(signals={"margin": {"mean": 1.0}}),
]


@pytest.mark.parametrize("change", NOT_RECORDS)
def test_a_record_that_is_none_is_one_line(change: Any, tmp_path: Path, show: Show) -> None:
    file = changed(tmp_path, change)
    status, printed, said = show(file)
    assert status == 1 and printed == ""
    (line,) = said
    assert line.startswith(f"lm-eval-dispersion: {file}: the record of dispersion_demo_code cannot be read (")


def test_what_cannot_be_shown_is_one_line_each_and_the_rest_is_shown(tmp_path: Path, show: Show) -> None:
    (tmp_path / "cut.json").write_text('{"results": {')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "config.json").write_text('{"results": 3, "configs": {}}')
    (tmp_path / "empty").mkdir()
    nothing, cut = tmp_path / "nothing", tmp_path / "cut.json"
    status, printed, said = show(tmp_path / "empty", nothing, cut, NO_RECORD, GEMMA, tmp_path / "list.json")
    assert status == 0 and printed.startswith("gemma-3-270m\n")
    assert [line.removeprefix("lm-eval-dispersion: ").split(" (")[0] for line in said] == [
        f"no results file of lm_eval below {tmp_path / 'empty'}; give what --output_path was",
        f"no file or folder {nothing}",
        f"{cut} is not JSON",
        f"{NO_RECORD}: no dispersion recorded: capitals",
        f"{tmp_path / 'list.json'}: no results file of lm_eval, which has `results` and `configs`",
    ]
    status, printed, said = show(tmp_path)
    assert status == 1 and printed == ""
    assert len(said) == 4 and any("2 other JSON files below" in line for line in said)


def test_a_task_without_a_record_is_named_with_the_one_that_records(tmp_path: Path, show: Show) -> None:
    def stock(run: dict[str, Any]) -> None:
        run["configs"] |= {"arc_easy": {}, "dispersion_of_mine": {"metadata": None}}

    status, printed, said = show(changed(tmp_path, stock))
    assert status == 0 and said == []
    assert "no dispersion recorded: arc_easy (wrap it: dispersion_arc_easy), dispersion_of_mine\n" in printed


def on_a_terminal(**environment: str) -> str:
    """What the command prints where standard output is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lm_eval_dispersion", "show", str(GEMMA)]
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    with subprocess.Popen(command, stdout=theirs, env=clean | {"TERM": "xterm", "COLUMNS": "80"} | environment) as done:
        os.close(theirs)
        printed = b""
        try:
            while piece := os.read(ours, 65536):
                printed += piece
        except OSError:  # Linux says so at the end
            pass
    os.close(ours)
    assert done.returncode == 0
    return printed.decode()


def test_colour_is_for_terminals_and_not_where_it_is_not_wanted(show: Show) -> None:
    coloured = on_a_terminal()
    assert "\x1b[" in coloured and "36m" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", on_a_terminal(NO_COLOR="1"))
    assert "\x1b" not in show(GEMMA)[1]
