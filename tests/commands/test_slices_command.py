"""What ``lm-eval-dispersion slices`` says of real runs, and of records that say nothing."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CliHere, results
from scipy.stats import spearmanr, t

from lm_eval_dispersion.commands import main

EXAMPLE = Path(__file__).parents[1] / "leaderboard" / "example" / "results" / "gemma-3-270m"
MMLU = "dispersion_demo_mmlu"

Said = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Exit status, standard output, and lines on standard error; 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: Any) -> tuple[int, str, list[str]]:
        status = main(["slices", *map(str, arguments)])
        done = capsys.readouterr()
        return status, done.out, done.err.splitlines()

    return run


@pytest.fixture(scope="module")
def out(cli_here: CliHere, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a corpus and of a labelled task."""
    folder = tmp_path_factory.mktemp("slices") / "out"
    cli_here(
        *("run", "--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama},dtype=float32"),
        *("--tasks", f"dispersion_demo_news,{MMLU}", "--limit", "80", "--batch_size", "8"),
        *("--output_path", str(folder)),
    )
    return folder


def numbers(line: str) -> list[float]:
    return [float(found) for found in re.findall(r"[-+]?\d+\.\d+", line)]


def test_a_run_is_shown_with_the_numbers_of_its_record(out: Path, said: Said) -> None:
    status, printed, errors = said(out)
    assert status == 0
    (line,) = errors
    (file,) = out.rglob("results_*.json")
    assert line == (
        f"lm-eval-dispersion: {file}: no slices of dispersion_demo_news: no labels: of a corpus no document is right "
        "or wrong"
    )
    record = results(out)["configs"][MMLU]["metadata"]["dispersion"]["slices"]
    lines = printed.splitlines()
    assert f"    {record['right']} of 80 right by acc" in printed and str(file) in printed
    for kind, symbol in (("right", "|m_c|²"), ("between", "m_c·m_w"), ("wrong", "|m_w|²")):
        (shown,) = [line for line in lines if re.search(rf"mean cosine, .* {re.escape(symbol)} ", line)]
        assert numbers(shown) == [round(record["cosines"][kind][key], 4) for key in ("value", "low", "high")]
    (shown,) = [line for line in lines if line.startswith("    difference")]
    assert numbers(shown) == [round(record["difference"][key], 4) for key in ("value", "low", "high")]
    rows = [line for line in lines if re.match(r" +\d+ % .*●", line)]
    assert len(rows) == 11
    curve = record["curve"]
    for i, row in enumerate(rows):
        shown_row = [round(curve[key][i], 4) for key in ("slices", "slices_stderr", "expected", "low", "high")]
        assert numbers(row) == shown_row
        assert row.split()[0] == str(10 * i)
    spearman = spearmanr(curve["right"], curve["slices"]).statistic
    assert f"Spearman of the 11 points is {spearman:+.2f}, which proves little" in " ".join(printed.split())
    for one in record["permutations"]:
        kinds = ", ".join(one["within"]).replace("length", "length third").replace("answer, l", "answer and l")
        name = f"equal {kinds}" if kinds else "all documents"
        (shown,) = [line for line in lines if re.match(rf"    {name} +\d\.\d{{3}} ", line)]
        assert numbers(shown) == [round(one["p"], 3), round(one["mean"], 4)]
    assert "rises everywhere exactly when |m_c|² <= m_c·m_w <= |m_w|²" in " ".join(printed.split())
    assert max(map(len, (line for line in lines if str(file) not in line))) <= 100


def test_json_is_one_document_and_html_one_page(out: Path, said: Said, tmp_path: Path) -> None:
    page = tmp_path / "slices.html"
    status, printed, _ = said(out, "--json", "--html", page)
    assert status == 0
    (run,) = json.loads(printed)["runs"]
    (task,) = run["tasks"]
    record = results(out)["configs"][MMLU]["metadata"]["dispersion"]["slices"]
    assert task["difference"] == record["difference"] and list(run["without"]) == ["dispersion_demo_news"]
    assert [point["slices"] for point in task["points"]] == record["curve"]["slices"]
    assert run["over_tasks"] is None
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 1 and html.count('<circle class="other"') == 11
    assert "http" not in re.sub(r"xmlns=\S+", "", html) and "<script" not in html
    assert all(letter in html for letter in ("answer: A", "length: up to "))


def changed(tmp_path: Path, out: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The run with its labelled task alone, changed."""
    run = results(out)
    for part in ("configs", "results"):
        run[part] = {MMLU: run[part][MMLU]}
    change(run)
    file = tmp_path / "mine_2026-11-25T08-22-09.113231.json"
    file.write_text(json.dumps(run))
    return file


def record_of(run: dict[str, Any]) -> dict[str, Any]:
    return dict(run["configs"][MMLU]["metadata"])["dispersion"]  # type: ignore[no-any-return]


def with_cosines(run: dict[str, Any], *values: float) -> None:
    found = record_of(run)["slices"]
    for kind, value in zip(("right", "between", "wrong"), values, strict=True):
        found["cosines"][kind]["value"] = value


def with_difference(run: dict[str, Any], value: float, low: float, high: float, *ps: float | None) -> None:
    found = record_of(run)["slices"]
    found["difference"] = {"value": value, "low": low, "high": high}
    for one, p in zip(found["permutations"], ps, strict=False):
        one["p"] = p


@pytest.mark.parametrize(
    ("cosines", "runs"),
    [
        ((0.4, 0.5, 0.6), "the curve rises everywhere;"),
        ((0.6, 0.5, 0.4), "the curve falls everywhere;"),
        ((0.5, 0.4, 0.7), "the curve rises up to 75 % right, then falls;"),
        ((0.5, 0.7, 0.6), "the curve falls up to 33 % right, then rises;"),
    ],
)
def test_how_the_curve_runs_follows_from_the_three_numbers(
    cosines: tuple[float, ...], runs: str, out: Path, said: Said, tmp_path: Path
) -> None:
    _, printed, _ = said(changed(tmp_path, out, lambda run: with_cosines(run, *cosines)))
    assert runs in " ".join(printed.split())
    a, b, e = cosines
    curve = [1 - (p * p * a + 2 * p * (1 - p) * b + (1 - p) ** 2 * e) for p in (i / 100 for i in range(101))]
    turn = int(runs.split()[5]) if "up to" in runs else None
    if turn is not None:
        best = max(curve) if "rises up" in runs else min(curve)
        assert curve.index(best) == turn


@pytest.mark.parametrize(
    ("interval", "ps", "says"),
    [
        ((0.1, -0.1, 0.3), (0.5,), "do not show that D differs between right and wrong answers"),
        ((0.2, 0.1, 0.3), (0.01, 0.01, 0.01, 0.01, 0.01), "larger across right answers than across wrong ones, also"),
        (
            (-0.2, -0.3, -0.1),
            (0.01, 0.2, 0.01, 0.01, 0.01),
            "smaller .* not clearly so among documents of equal subject[.]",
        ),
        ((0.2, 0.1, 0.3), (0.2,), "but not by shuffling the answers: no clear difference"),
        ((0.2, 0.1, 0.3), (0.01, None, 0.01, 0.01, 0.01), "not clearly so among documents of equal subject[.]"),
    ],
)
def test_the_sentence_follows_from_interval_and_permutations(
    interval: Any, ps: Any, says: str, out: Path, said: Said, tmp_path: Path
) -> None:
    _, printed, _ = said(changed(tmp_path, out, lambda run: with_difference(run, *interval, *ps)))
    assert re.search(says, " ".join(printed.split()))


def several(run: dict[str, Any], differences: list[float]) -> None:
    task = run["configs"].pop(MMLU)
    for i, difference in enumerate(differences):
        run["configs"][f"{MMLU}_{i}"] = copy.deepcopy(task)
        run["configs"][f"{MMLU}_{i}"]["metadata"]["dispersion"]["slices"]["difference"]["value"] = difference


def test_several_tasks_have_a_block_each_and_one_statement(out: Path, said: Said, tmp_path: Path) -> None:
    differences = [0.01, 0.03, -0.01, 0.02]
    file = changed(tmp_path, out, lambda run: several(run, differences))
    _, printed, _ = said(file)
    assert printed.count("Spearman of the 11 points") == 4
    error = 0.0170783 / 2
    reach = t.ppf(0.975, 3) * error
    shown = " ".join(printed.split())
    assert f"Over 4 tasks the difference |m_w|² - |m_c|² is +0.0125 ± {error:.4f} [{0.0125 - reach:+.4f}, " in shown
    assert "it is positive in 3" in shown
    together = json.loads(said(file, "--json")[1])["runs"][0]["over_tasks"]
    assert together["tasks"] == 4 and together["mean"] == pytest.approx(0.0125) and together["positive"] == 3


def test_tasks_of_mixed_definitions_are_not_taken_together(out: Path, said: Said, tmp_path: Path) -> None:
    def mixed(run: dict[str, Any]) -> None:
        several(run, [0.1, 0.2])
        run["configs"][f"{MMLU}_1"]["metadata"]["dispersion"]["definition"]["version"] = 2

    status, printed, errors = said(changed(tmp_path, out, mixed))
    assert status == 0 and "Over 2 tasks" not in printed
    (line,) = errors
    assert line.endswith("no statement over tasks: their definitions differ (version 1 at h[2], version 2 at h[2])")


def without(run: dict[str, Any], reason: str) -> None:
    record_of(run)["slices"] = {"undefined": reason}


NOTHING: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda run: without(run, "12 documents with a vector and an answer; at least 20"), "12 documents with a vector"),
    (lambda run: without(run, "60 of 60 answers are right by acc; at least ..."), "60 of 60 answers are right by acc"),
    (lambda run: record_of(run).pop("slices"), "not recorded by lm-eval-dispersion .*; run it again with this version"),
    (lambda run: record_of(run)["slices"]["difference"].update(value=None), "no number: vectors that are not finite"),
    (lambda run: record_of(run)["slices"]["curve"]["slices"].__setitem__(3, None), "no number: vectors that are not"),
    (lambda run: run["configs"][MMLU].pop("metadata"), f"no dispersion recorded; run {MMLU}"),
    (lambda run: record_of(run)["slices"].pop("curve"), "the record cannot be read .KeyError"),
    (lambda run: record_of(run)["slices"].update(curve=3), "the record cannot be read .TypeError"),
    (lambda run: record_of(run)["slices"]["curve"].update(low=[1]), "the record cannot be read .ValueError"),
    (lambda run: record_of(run).update(slices="yes"), "the record cannot be read .TypeError"),
    (lambda run: record_of(run)["slices"].update(strata={"x": {"labels": 1}}), "the record cannot be read .KeyError"),
    (lambda run: run["configs"].clear(), "a results file without a task"),
]


@pytest.mark.parametrize(("change", "says"), NOTHING)
def test_where_there_are_no_slices_one_line_says_why(
    change: Any, says: str, out: Path, said: Said, tmp_path: Path
) -> None:
    file = changed(tmp_path, out, change)
    status, printed, errors = said(file)
    assert (status, printed) == (1, "")
    (line,) = errors
    assert line.startswith(f"lm-eval-dispersion: {file}: ") and re.search(says, line)
    assert said(file, "--json")[0] == 1


def test_runs_of_before_and_what_is_no_run_are_one_line_each(said: Said, tmp_path: Path) -> None:
    status, printed, errors = said(EXAMPLE)
    assert (status, printed) == (1, "") and len(errors) == len(list(EXAMPLE.rglob("results_*.json")))
    assert sum("not recorded by lm-eval-dispersion" in line for line in errors) == 1
    status, printed, errors = said(tmp_path / "none")
    assert (status, printed, errors) == (1, "", [f"lm-eval-dispersion: no file or folder {tmp_path / 'none'}"])


def test_what_a_stranger_wrote_is_shown_and_not_obeyed(out: Path, said: Said, tmp_path: Path) -> None:
    bad = "[bold red]x[/]<script>\x1b[31m\x07\u202eevil\nD  9.9999"

    def hostile(run: dict[str, Any]) -> None:
        run["model_name"] = bad
        found = record_of(run)["slices"]
        found["metric"] = bad
        found["permutations"][1]["within"] = [bad]
        found["strata"]["answer"]["labels"][0] = bad

    page = tmp_path / "page.html"
    _, printed, errors = said(changed(tmp_path, out, hostile), "--html", page)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", "".join([printed, *errors, page.read_text()]))
    assert "[bold red]x[/]" in printed and "<script>" not in page.read_text()


def test_a_page_that_cannot_be_written_is_one_line(out: Path, said: Said, tmp_path: Path) -> None:
    status, _, errors = said(out, "--html", tmp_path / "none" / "page.html")
    assert status == 1 and errors[-1].startswith("lm-eval-dispersion: cannot write ")
