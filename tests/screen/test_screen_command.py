"""``lm-eval-dispersion screen``: what it prints and writes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from checkpoints import Rows, save_output
from dispersion_leaderboard.records import read_conventions, read_records

from lm_eval_dispersion.commands import main
from lm_eval_dispersion.runs import runs_at


@pytest.fixture
def lower(tmp_path: Path, tiny: Path, tiny_rows: Rows) -> Path:
    """As ``tiny``, with rows that lie a little closer."""
    rows = torch.from_numpy(tiny_rows).float()
    return save_output(tmp_path / "lower", tiny, {"lm_head.weight": rows + 0.1})


def test_checkpoints_are_ranked_and_those_that_cannot_be_are_told(
    tiny: Path, lower: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    assert main(["screen", str(lower), "nowhere/", str(tiny), str(copy), "--tokens", "python"]) == 0
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("lm-eval-dispersion: nowhere/: no such folder")
    lines = [line for line in said.out.splitlines() if re.search(r"\d ± 0\.\d{4}", line)]
    assert [line.split()[0] for line in lines] == [tiny.name, "lower"]
    assert "= copy" in said.out
    assert re.search(rf"G cannot tell them apart: {tiny.name}, copy \(equal in all [\d,]+ rows read\)", said.out)
    assert re.search(r"read 0\.\d MB of 0\.\d MB", said.out) and "0 padding rows" in said.out


def test_nothing_screened_is_status_1_with_a_line_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["screen", "no where", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["verbs"], "no token set verbs; there are digits, python, medical, law, and @FILE"),
        (["@nowhere.txt"], "cannot read nowhere.txt: No such file or directory"),
        (["@digits.txt"], "@digits.txt would be called screen_digits"),
    ],
)
def test_a_mistaken_set_is_one_line(sets: list[str], said: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["screen", str(tiny), *(word for one in sets for word in ("--tokens", one))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_set_that_a_tokenizer_hardly_has_is_told_and_the_others_stand(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rare.txt"
    file.write_text("xylophone\nthe\n")
    assert main(["screen", str(tiny), "--tokens", f"@{file}", "--tokens", "digits"]) == 0
    said = capsys.readouterr()
    assert "tokens of it; at least 5 are needed" in said.err and "digits:" in said.out


def test_json_is_one_document(tiny: Path, lower: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["screen", str(tiny), str(lower), "gone", "--json", "--tokens", "digits"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert [one["model"] for one in told["screened"]] == [str(tiny), str(lower)]
    (group,) = told["groups"]
    assert group["ranked"][0]["models"] == [str(tiny)] and group["ranked"][0]["lead"]["difference"] > 0
    (record,) = told["screened"][0]["sets"]
    assert record["random"]["low"] < record["random"]["high"] and 0 <= record["matched"]["below"] <= 1
    assert list(told["failed"]) == ["gone"]


def lacking(tiny: Path, rows: Rows, folder: Path, tokens: list[str]) -> str:
    """A checkpoint as ``tiny``, of which these tokens were never trained."""
    ids = json.loads((tiny / "tokenizer.json").read_text())["model"]["vocab"]
    changed = torch.from_numpy(rows).float() + 0.05
    changed[[ids[token] for token in tokens]] = 0
    return str(save_output(folder, tiny, {"lm_head.weight": changed}))


def test_all_of_one_call_say_over_which_tokens_they_are(
    tiny: Path, tiny_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = lacking(tiny, tiny_rows, tmp_path / "other", ["Ġreturn"])
    asked = ["screen", str(tiny), other, "--tokens", "python", "--output_path", str(tmp_path / "out")]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "left out of the set: 1, never trained in other (1)" in said and "apart" not in said
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (group,), records = told["groups"], [one["sets"][0] for one in told["screened"]]
    assert [one["models"] for one in group["ranked"]] == [[str(tiny)], [other]]
    for key in ("tokens", "general", "tokens_hash", "general_hash"):
        assert {record[key] for record in records} == {group[key]}
    assert group["tokens_hash"][:8] in said and group["general_hash"][:8] in said
    left = [record["left_out"] for record in records]
    assert [(of["never_trained_of_set"], of["never_trained_elsewhere_of_set"]) for of in left] == [(0, 1), (1, 0)]
    written = [run.content["configs"]["screen_python"]["metadata"]["dispersion_screen"] for run in runs_at([tmp_path])]
    assert {record["tokens_hash"] for record in written} == {group["tokens_hash"]}


def test_checkpoints_with_little_in_common_are_told_in_one_line(
    tiny: Path, tiny_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["screen", str(tiny), "--show-tokens", "--tokens", "digits", "--json"]) == 0
    digits = json.loads(capsys.readouterr().out)[str(tiny)]["digits"]
    other = lacking(tiny, tiny_rows, tmp_path / "other", digits[: len(digits) // 2 + 1])
    assert main(["screen", str(tiny), other, "--tokens", "digits"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "ranked apart" in line]
    assert line.startswith(f"digits: {tiny.name} | other: ranked apart, for too few tokens count in all of them")


def test_tokens_are_shown_without_a_row_being_read(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["screen", str(tiny), "--show-tokens", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[str(tiny)]
    assert {"0", "9"} <= set(told["digits"]) and "Ġreturn" in told["python"] and len(told["general"]) > 32
    assert not set(told["general"]) & {*told["digits"], *told["python"]}
    assert main(["screen", str(tiny), "--show-tokens", "--tokens", "python"]) == 0
    assert "' return'" in capsys.readouterr().out


def test_results_are_in_lm_evals_form_and_the_leaderboard_reads_them(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["screen", str(tiny), "--output_path", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (run,) = runs_at([tmp_path / "out"])
    assert run.model == str(tiny) and re.fullmatch(r"results_\d{4}-\d\d-\d\dT[\d.-]+\.json", run.file.name)
    for record in told["screened"][0]["sets"]:
        task = f"screen_{record['set']}"
        assert run.content["results"][task] == {"alias": task, "gap,none": record["gap"], "gap_stderr,none": "N/A"}
        assert run.content["configs"][task]["metadata"]["dispersion_screen"] == record
        assert run.record(task) is None
    result = {
        "results": {"arc_easy": {"alias": "arc_easy", "acc,none": 0.5, "acc_stderr,none": 0.1}},
        "configs": {"arc_easy": {"task": "arc_easy"}},
        "config": {"model": "hf", "model_args": {"pretrained": str(tiny)}},
        "n-samples": {"arc_easy": {"original": 26, "effective": 26}},
        "model_name": str(tiny),
    }
    (tmp_path / "out" / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(result))
    rows = read_records([str(tmp_path / "out")], read_conventions()).table
    gaps = rows[rows["metric"] == "gap"]
    assert set(gaps["entry"]) == set(rows["entry"][rows["task"] == "arc_easy"])
    assert sorted(gaps["task"]) == ["screen_digits", "screen_python"]
    assert sorted(gaps["value"]) == sorted(record["gap"] for record in told["screened"][0]["sets"])


def test_the_page_names_every_key_that_is_written(tiny: Path, tmp_path: Path) -> None:
    assert main(["screen", str(tiny), "--output_path", str(tmp_path)]) == 0
    (run,) = runs_at([tmp_path])
    record = run.content["configs"]["screen_digits"]["metadata"]["dispersion_screen"]
    page = (Path(__file__).parents[2] / "docs" / "screen.md").read_text(encoding="utf-8")
    inner = [key for part in ("matrix", "left_out", "cost", "random") for key in record[part]]
    assert [key for key in [*record, *inner] if not re.search(rf"[`\"]{key}[`\"]", page)] == []
