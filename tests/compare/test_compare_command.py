"""``compare`` on runs that differ, lack something, or are many: one clear line each, and the right status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import record, texts, write_run

from lm_eval_dispersion.commands import main

Compare = Callable[..., tuple[int, str, list[str]]]
EXAMPLE = Path(__file__).parents[1] / "leaderboard" / "example" / "results"


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Exit status, standard output in one line, and lines on standard error; 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        status = main(["compare", *map(str, arguments)])
        said = capsys.readouterr()
        return status, " ".join(said.out.split()), said.err.splitlines()

    return run


def model(folder: Path, worse: float = 0.0, noise: float = 0.02, documents: int = 40, **more: Any) -> Path:
    """A run of a model that needs so many bits a byte more than the text is hard."""
    sizes, hard = texts(documents)
    rng = np.random.default_rng(sum(folder.name.encode()))
    return write_run(folder, (hard + worse + rng.normal(0, noise, documents)) * sizes, sizes, **more)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda r: r["definition"].update(window=256), ("windows of 512 tokens", "windows of 256 tokens")),
        (lambda r: r["definition"].update(min_vectors=32), ("at least 64 vectors", "at least 32 vectors")),
        (lambda r: r["definition"].update(version=2), ("version 1 of the definition", "version 2 of the definition")),
        (lambda r: r["corpus"].update(hash="ef" * 32), ("the text abababababab of 40", "the text efefefefefef of 40")),
    ],
)
def test_runs_that_were_measured_differently_are_not_ranked(
    change: Callable[[Any], object], differs: tuple[str, str], tmp_path: Path, compare: Compare
) -> None:
    for name in ("alpha", "beta"):
        model(tmp_path / name)
    model(tmp_path / "gamma", change=lambda run: change(record(run)))
    status, printed, (line, refusal) = compare(tmp_path)
    assert (status, printed) == (1, "") and "not ranked" in refusal
    assert "gamma" in line and "alpha" in line and "beta" not in line
    assert all(part in line for part in differs) and line.index(differs[0]) < line.index(differs[1])
    status, printed, _ = compare(tmp_path, "--json")
    assert status == 1 and json.loads(printed)["comparisons"] == [] and len(json.loads(printed)["refused"]) == 1


def test_every_difference_has_its_line(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha")

    def change(run: dict[str, Any]) -> None:
        record(run)["definition"].update(window=256, min_vectors=32)

    model(tmp_path / "beta", change=change)
    status, _, lines = compare(tmp_path)
    assert status == 1 and len(lines) == 3


def test_a_run_whose_window_nobody_knows_is_not_ranked(tmp_path: Path, compare: Compare) -> None:
    def change(run: dict[str, Any]) -> None:
        record(run).update(undefined="the engine shows no hidden states", within={"mean": [], "stderr": [], "n": []})
        record(run)["definition"].update(window=None, min_vectors=None)
        record(run)["layers"] = []

    model(tmp_path / "alpha")
    model(tmp_path / "beta", change=change)
    status, printed, lines = compare(tmp_path)
    assert (status, printed, len(lines)) == (1, "", 2)
    assert "beta has no window on record (the engine shows no hidden states)" in lines[0]


def test_an_earlier_record_says_its_window_beside_the_definition(tmp_path: Path, compare: Compare) -> None:
    def change(run: dict[str, Any]) -> None:
        record(run)["window"] = record(run)["definition"].pop("window")

    model(tmp_path / "alpha", change=change)
    model(tmp_path / "beta", 0.1)
    status, printed, errors = compare(tmp_path)
    assert (status, errors) == (0, []) and "alpha predicts this text better than beta by 0." in printed


def test_what_40_documents_cannot_tell_is_said_with_how_many_could(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha", noise=0.2)
    model(tmp_path / "beta", 0.01, noise=0.2)
    status, printed, _ = compare(tmp_path, "--json")
    (found,) = json.loads(printed)["comparisons"]
    difference = found["pairs"][0]["bits_per_byte"]
    assert status == 0 and not difference["told"] and difference["needed"] > 40
    assert "cannot be told apart on this text" in found["verdict"] and "documents (" in found["verdict"]
    assert "more) to tell such a difference" in found["verdict"]
    assert [m["place"] for m in found["models"]] == [[1, 2], [1, 2]]


def test_the_best_of_three_is_named_with_its_lead_over_the_next(tmp_path: Path, compare: Compare) -> None:
    for name, worse in (("alpha", 0.0), ("beta", 0.1), ("gamma", 0.3)):
        model(tmp_path / name, worse)
    (found,) = json.loads(compare(tmp_path, "--json")[1])["comparisons"]
    lead = found["pairs"][0]["bits_per_byte"]["value"]
    assert found["verdict"].startswith(
        "alpha predicts this text better than each of the other 2, than the next, beta, by "
    )
    assert f"by {lead:.3f}" in found["verdict"] and [m["place"] for m in found["models"]] == [[1, 1], [2, 2], [3, 3]]


def test_d_of_one_family_is_compared_and_of_others_is_not(tmp_path: Path, compare: Compare) -> None:
    rng = np.random.default_rng(0)
    d = 0.5 + 0.05 * rng.standard_normal(40)
    model(tmp_path / "alpha", d=list(d))
    model(tmp_path / "beta", 0.1, d=list(d + 0.02 + 0.01 * rng.standard_normal(40)))
    assert "; D is larger in beta by 0.02" in compare(tmp_path)[1]
    for name, change, why in (
        ("tokenizer", {"tokenizer_hash": "ee" * 32}, "other tokenizers"),
        ("architecture", {"model_type": "qwen2"}, "other architectures"),
        ("size", {"hidden_size": 64}, "other sizes"),
        ("unknown", {"tokenizer_hash": None}, "tokenizers not on record"),
    ):
        folder = tmp_path.parent / f"{tmp_path.name}-{name}"
        model(folder / "alpha")
        model(folder / "beta", 0.1, change=lambda run, change=change: record(run)["model"].update(change))  # type: ignore[misc]
        assert f"their D cannot be compared: {why}." in compare(folder)[1]


def test_a_d_that_is_not_a_number_is_missing_with_its_reason_and_bits_are_compared(
    tmp_path: Path, compare: Compare
) -> None:
    model(tmp_path / "alpha")

    def change(run: dict[str, Any]) -> None:
        record(run)["counts"]["nonfinite_vectors"] = 100

    model(tmp_path / "beta", 0.1, d=[float("nan")] * 40, change=change)
    status, printed, errors = compare(tmp_path)
    assert (status, errors) == (0, [])
    assert "Note: beta has no D: vectors of the last layer are zero or not finite." in printed
    assert "alpha predicts this text better than beta by 0." in printed
    assert json.loads(compare(tmp_path, "--json")[1])["comparisons"][0]["models"][1]["dispersion"]["value"] is None


def test_bits_that_are_not_a_number_come_last_with_a_line(tmp_path: Path, compare: Compare) -> None:
    for name, worse in (("alpha", 0.0), ("beta", 0.1)):
        model(tmp_path / name, worse)
    model(
        tmp_path / "broken", change=lambda run: run["results"]["dispersion_text"].update({"bits_per_byte,none": None})
    )
    status, printed, _ = compare(tmp_path, "--json")
    (found,) = json.loads(printed)["comparisons"]
    assert status == 0 and [m["label"] for m in found["models"]] == ["alpha", "beta", "broken"]
    assert "broken has no bits per byte: not a finite number" in found["warnings"] and len(found["pairs"]) == 1


@pytest.mark.parametrize(("documents", "note"), [(6, "errors, intervals and p are rough"), (1, "no standard error")])
def test_few_documents_are_a_warning(documents: int, note: str, tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha", documents=documents)
    model(tmp_path / "beta", 0.1, documents=documents)
    status, printed, errors = compare(tmp_path)
    assert (status, errors) == (0, []) and f"{documents} document" in printed and note in printed
    if documents == 1:
        assert "One document cannot tell alpha from beta" in printed


def test_one_model_is_a_line_and_status_1(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha")
    status, printed, (line,) = compare(tmp_path)
    assert (status, printed) == (1, "") and "reports: alpha alone was run on it" in line


def test_labelled_tasks_alone_are_a_line_and_status_1(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha", change=lambda run: record(run)["definition"].update(kind="prompts"))
    status, printed, (line,) = compare(tmp_path)
    assert (status, printed) == (1, "") and line.startswith(
        "lm-eval-dispersion: no corpus task with a record in the run;"
    )


def test_a_task_is_chosen_by_name_and_one_that_is_not_there_is_said_with_those_that_are(
    tmp_path: Path, compare: Compare
) -> None:
    status, printed, _ = compare(EXAMPLE, "--task", "dispersion_demo_wiki", "--json")
    (found,) = json.loads(printed)["comparisons"]
    assert status == 0 and found["corpus"]["name"] == "dispersion_demo_wiki" and len(found["models"]) == 37
    status, _, (line,) = compare(EXAMPLE, "--task", "wiki")
    assert status == 1 and "no corpus task wiki" in line and "dispersion_demo_wiki" in line


def test_of_two_runs_of_a_model_the_newest_is_taken_and_a_line_says_so(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "beta", 0.1)
    model(tmp_path / "old" / "alpha", 0.3, date=1)
    newest = model(tmp_path / "new" / "alpha", date=2)
    status, printed, (line,) = compare(tmp_path)
    assert status == 0 and line == f"lm-eval-dispersion: reports: 2 runs of alpha; the newest is taken, {newest}"
    assert "alpha predicts this text better" in printed


def test_checkpoints_of_one_repository_are_told_by_what_their_arguments_differ_in(
    tmp_path: Path, compare: Compare
) -> None:
    for step in ("step1000", "step2000"):

        def change(run: dict[str, Any], step: str = step) -> None:
            run["config"]["model_args"] = {"pretrained": "org/model", "revision": step, "device": step}
            run["model_name"] = "org/model"

        model(tmp_path / step, change=change)
    found = json.loads(compare(tmp_path, "--json")[1])["comparisons"][0]
    assert {m["label"] for m in found["models"]} == {"model (revision=step1000)", "model (revision=step2000)"}


def test_models_whose_paths_end_alike_are_told_by_longer_ends(tmp_path: Path, compare: Compare) -> None:
    for run in ("one", "two"):

        def change(content: dict[str, Any], run: str = run) -> None:
            content["model_name"] = f"/data/{run}/checkpoint-500"

        model(tmp_path / run, change=change)
    found = json.loads(compare(tmp_path, "--json")[1])["comparisons"][0]
    assert {m["label"] for m in found["models"]} == {"one/checkpoint-500", "two/checkpoint-500"}


def test_twenty_models_fit_a_screen_and_are_adjusted_for_all_their_pairs(
    tmp_path: Path, compare: Compare, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        model(tmp_path / f"model-{i:02d}", 0.004 * i)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["compare", str(tmp_path), "--html", str(tmp_path / "page.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 90 and max(map(len, lines)) <= 100
    assert "simultaneous over 190 pairs (Bonferroni), p adjusted for them (Holm)" in " ".join(" ".join(lines).split())
    (found,) = json.loads(compare(tmp_path, "--json")[1])["comparisons"]
    assert len(found["pairs"]) == 190
    assert found["verdict"].startswith(
        "No one model predicts this text best: model-00 has the fewest bits per byte, and "
    )
    for best, worst in (m["place"] for m in found["models"]):
        assert 1 <= best <= worst <= 20
    assert found["models"][0]["place"][0] == 1 and found["models"][-1]["place"][1] == 20


def test_copies_of_a_document_are_no_more_evidence_than_one(tmp_path: Path, compare: Compare) -> None:
    found = []
    for copies in (1, 3):
        folder = tmp_path / str(copies)
        for name, worse in (("alpha", 0.0), ("beta", 0.1)):
            file = model(folder / name, worse)
            (samples,) = file.parent.glob("samples_*")
            samples.write_text(samples.read_text() * copies)
        (pair,) = json.loads(compare(folder, "--json")[1])["comparisons"][0]["pairs"]
        found.append({key: pair["bits_per_byte"][key] for key in ("value", "stderr", "documents", "p")})
    assert found[0] == pytest.approx(found[1])


def test_documents_that_only_one_run_logged_are_left_out_and_counted(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha")
    file = model(tmp_path / "beta", 0.1)
    (samples,) = file.parent.glob("samples_*")
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:38]))
    status, printed, _ = compare(tmp_path)
    assert status == 0 and "Note: differences are over 38 of 40 documents" in printed


def test_samples_of_another_kind_are_one_line_that_names_the_file(tmp_path: Path, compare: Compare) -> None:
    model(tmp_path / "alpha")
    file = model(tmp_path / "beta", 0.1)
    (samples,) = file.parent.glob("samples_*")
    samples.write_text('{"doc_id": 0, "acc": 1.0}\n')
    status, printed, (line,) = compare(tmp_path)
    assert (status, printed) == (1, "") and str(samples) in line and "no samples of a corpus task" in line


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path, compare: Compare) -> None:
    for name in ("alpha", "beta"):
        model(tmp_path / name)
    status, _, lines = compare(tmp_path, "--html", tmp_path / "nowhere" / "page.html")
    assert status == 1 and len(lines) == 1 and "cannot write" in lines[0]


def test_hostile_names_are_shown_as_they_are_and_nothing_of_them_runs(
    tmp_path: Path, compare: Compare, page: Any
) -> None:
    for name in ("<img src=x onerror=window.pwned=1>", "[red]beta\x1b[31m"):

        def change(run: dict[str, Any], name: str = name) -> None:
            run["model_name"] = name
            record(run)["corpus"] |= {"name": "<b>reports</b>\x1b[31m", "hash": "\x1b[31m<b>"}
            record(run)["undefined"] = "\x1b[31m<b>no</b>"
            record(run)["within"] = {"mean": [], "stderr": [], "n": []}

        model(tmp_path / str(len(name)), change=change)
    status, printed, _ = compare(tmp_path, "--html", tmp_path / "page.html")
    assert status == 0 and "\x1b" not in printed and "[red]beta [31m" in printed
    page.goto(f"file://{tmp_path / 'page.html'}")
    assert page.evaluate("window.pwned") is None and page.locator("main img, main b").count() == 0
