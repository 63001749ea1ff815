"""``rank`` on what real runs of lm_eval leave: signals, labels, what it writes, and what it says where it cannot."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pytest
from conftest import results, samples
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.commands import main
from lm_eval_dispersion.rank import Ranking, csv_of, jsonl_of, read_documents

Rank = Callable[..., tuple[int, str, list[str]]]

MMLU = """
custom_dataset: !function lm_eval_dispersion.corpora.demo_mmlu
test_split: test
metadata: {version: 1.0}
class: !function lm_eval_dispersion.DispersionTask
"""
TASKS = {
    "few_shot": MMLU + "output_type: multiple_choice\nfewshot_split: test\nnum_fewshot: 2\n"
    'doc_to_text: "{{question}}\\nAnswer:"\ndoc_to_choice: choices\ndoc_to_target: answer\n'
    "metric_list: [{metric: acc}, {metric: acc_norm}]\n",
    # As in winogrande: the choices stand in the context.
    "contexts": MMLU + "output_type: multiple_choice\ndoc_to_text: 0\n"
    "doc_to_choice: [\"{{'Question: '}}\", \"{{'Exercise: '}}\"]\n"
    'doc_to_target: " {{question}}"\nmetric_list: [{metric: acc}]\n',
    "generated": MMLU + 'output_type: generate_until\ndoc_to_text: "{{question}}\\nAnswer:"\n'
    'doc_to_target: "{{choices[answer]}}"\n'
    'generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}\nfilter_list:\n'
    '  - {name: letter, filter: [{function: regex, regex_pattern: "([A-D])"}, {function: take_first}]}\n'
    "  - {name: whole, filter: [{function: take_first}]}\nmetric_list: [{metric: exact_match}]\n",
}


@pytest.fixture(scope="module")
def out(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with logged samples of a group of two tasks, one with two filters, and a corpus."""
    folder = tmp_path_factory.mktemp("rank")
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{text}")
    (folder / "both.yaml").write_text("group: both\ntask: [few_shot, contexts]\n")
    # What the command line does but for the index of all of lm_eval's tasks, which takes eight seconds.
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tiny_llama), "dtype": "float32"},
        tasks=["both", "generated", "dispersion_demo_news"],
        task_manager=TaskManager(include_path=[str(folder), str(tasks_folder())], include_defaults=False),
        limit=24,
        batch_size=8,
        device="cpu",
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    logged = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=logged)
    for task in found["configs"]:
        tracker.save_results_samples(task_name=task, samples=logged[task])
    return folder / "out"


@pytest.fixture
def rank(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rank:
    """Exit status, standard output, and lines on standard error; 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        capsys.readouterr()
        status = main(["rank", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


def of_choices(loglikelihoods: list[float]) -> list[float]:
    """Confidence, margin and entropy, by hand."""
    weights = [math.exp(value - max(loglikelihoods)) for value in loglikelihoods]
    p = sorted((w / sum(weights) for w in weights), reverse=True)
    return [p[0], p[0] - p[1], -sum(q * math.log(q) for q in p)]


def test_signals_and_labels_are_those_of_the_samples(out: Path) -> None:
    documents, logged = read_documents(out, "few_shot"), samples(out, "few_shot")
    assert documents.ids == [sample["doc_id"] for sample in logged] and len(documents) == 24
    assert documents.metric == "acc" and documents.correct is not None
    assert documents.correct.tolist() == [sample["acc"] == 1 for sample in logged]
    assert documents.texts == [sample["arguments"]["gen_args_0"]["arg_0"] for sample in logged]
    values = {name: signal.values for name, signal in documents.signals.items()}
    assert values["dispersion"].tolist() == [sample["dispersion"]["within"] for sample in logged]
    for layer in range(3):
        assert values[f"dispersion@{layer}"].tolist() == [s["dispersion"]["layers"][layer] for s in logged]
    assert values["length"].tolist() == [sample["dispersion"]["tokens"] for sample in logged]
    for i, sample in enumerate(logged):
        scores = [float(answer[0]) for answer in sample["filtered_resps"]]
        found = [values[name][i] for name in ("confidence", "margin", "entropy")]
        assert found == pytest.approx(of_choices(scores), abs=1e-9)
        by_length = [s / len(choice) for s, choice in zip(scores, sample["doc"]["choices"], strict=True)]
        assert values["confidence_by_length"][i] == pytest.approx(of_choices(by_length)[0], abs=1e-9)


def test_the_signals_that_a_record_holds_are_taken_from_it(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("samples_few_shot_*.jsonl")
    (run,) = (tmp_path / "out").rglob("results_*.json")
    content, lines = json.loads(run.read_text()), []
    content["configs"]["few_shot"]["metadata"]["dispersion"]["signals"] = {
        "rankme": {"layers": [0, 2]},
        "participation_ratio": {"layers": [2]},
    }
    for i, sample in enumerate(map(json.loads, file.read_text().splitlines())):
        sample["dispersion"]["signals"] = {
            "confidence": i / 24,
            "prompt_loglikelihood": -float(i),
            "rankme": [None if i == 3 else 1.0, i],
            "participation_ratio": [2.0 * i],
            "unheard_of": 1.0,
        }
        lines.append(json.dumps(sample))
    run.write_text(json.dumps(content))
    file.write_text("\n".join(lines))
    documents = read_documents(tmp_path / "out", "few_shot")
    own = {name for name in documents.signals if not name.startswith("dispersion@")}
    assert own == {"dispersion", "length", "confidence", "prompt_loglikelihood", "rankme", "rankme@0", "rankme@2",
                   "participation_ratio"}  # fmt: skip
    values = {name: signal.values for name, signal in documents.signals.items()}
    assert values["confidence"].tolist() == [i / 24 for i in range(24)]
    assert values["rankme"].tolist() == values["rankme@2"].tolist() == list(range(24))
    assert np.isnan(values["rankme@0"][3]) and np.nansum(values["rankme@0"]) == 23
    assert values["participation_ratio"].tolist() == [2.0 * i for i in range(24)]


def test_choices_in_the_context_are_compared_as_they_are(out: Path) -> None:
    documents = read_documents(out, "contexts")
    assert {"confidence", "margin", "entropy"} <= set(documents.signals)
    scores = [[float(a[0]) for a in sample["filtered_resps"]] for sample in samples(out, "contexts")]
    assert documents.signals["confidence"].values == pytest.approx([of_choices(s)[0] for s in scores], abs=1e-9)


def test_of_several_filters_one_says_what_is_right(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = read_documents(out, "generated")
    assert (
        "generated has several filters (letter, whole); answers are right or wrong by letter" in capsys.readouterr().err
    )
    assert documents.filter == "letter" and len(documents) == 24 and documents.metric == "exact_match"
    assert read_documents(out, "generated", "whole").filter == "whole" and capsys.readouterr().err == ""
    assert set(documents.names) == {"dispersion", "length"}
    with pytest.raises(TaskError, match=r"generated has no filter first; it has letter, whole$"):
        read_documents(out, "generated", "first")


def test_a_corpus_has_bits_per_byte_and_no_labels(out: Path) -> None:
    documents, logged = read_documents(out, "dispersion_demo_news"), samples(out, "dispersion_demo_news")
    bits, length = documents.signals["bits_per_byte"].values, [len(text.encode()) for text in documents.texts]
    whole = results(out)["results"]["dispersion_demo_news"]["bits_per_byte,none"]
    assert np.average(bits, weights=length) == pytest.approx(whole, rel=1e-9)
    assert documents.signals["dispersion"].values.tolist() == [s["dispersion"]["within"] for s in logged]
    assert documents.correct is None and documents.unlabelled == "a corpus has none"


def test_a_group_is_ranked_as_one(out: Path) -> None:
    documents = read_documents(out, "both")
    assert documents.task == "both" and documents.tasks == ["few_shot"] * 24 + ["contexts"] * 24
    assert documents.correct is not None and documents.correct.tolist() == [
        sample["acc"] == 1 for task in ("few_shot", "contexts") for sample in samples(out, task)
    ]


def test_the_hardest_come_first_in_table_csv_lines_page_and_json(out: Path, rank: Rank, tmp_path: Path) -> None:
    files = {name: tmp_path / f"ranked.{name}" for name in ("csv", "jsonl", "html")}
    options = [word for name, file in files.items() for word in (f"--{name}", file)]
    status, printed, said = rank(out, "--task", "few_shot", "--top", 3, *options)
    assert (status, said) == (0, [])
    logged = sorted(samples(out, "few_shot"), key=lambda sample: sample["dispersion"]["within"])
    expected = [sample["doc_id"] for sample in logged]
    shown = re.findall(r"^ *(\d+) +([\d.]+) +(right|wrong) +(\d+) +(\S.*)$", printed, re.M)
    assert [int(doc) for _, _, _, doc, _ in shown] == expected[:3]
    assert [value for _, value, *_ in shown] == [f"{sample['dispersion']['within']:.4f}" for sample in logged[:3]]
    assert [answer for _, _, answer, *_ in shown] == ["right" if s["acc"] else "wrong" for s in logged[:3]]
    assert printed.count("Written: ") == 3

    table = list(csv.DictReader(files["csv"].open(encoding="utf-8", newline="")))
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [int(row["doc_id"]) for row in table] == [row["doc_id"] for row in lines] == expected
    for row, line, sample in zip(table, lines, logged, strict=True):
        assert row["text"] == line["text"] == sample["arguments"]["gen_args_0"]["arg_0"]
        assert line["correct"] is (sample["acc"] == 1) and float(row["correct"]) == sample["acc"]
        assert float(row["dispersion"]) == line["signals"]["dispersion"] == sample["dispersion"]["within"]
    assert files["html"].read_text().count("<details ") == 24

    status, printed, _ = rank(
        out, "--task", "few_shot", "--top", 3, "--by", "entropy", "--slices", "clusters=2", "--json"
    )
    found = json.loads(printed, parse_constant=lambda name: pytest.fail(name))
    assert [row["rank"] for row in found["hardest"]] == [1, 2, 3] and found["by"] == {
        "signal": "entropy",
        "hard": "high",
    }
    entropies = [row["signals"]["entropy"] for row in found["hardest"]]
    assert entropies == sorted(entropies, reverse=True)
    assert len(found["slices"]["slices"]) == 2 and found["no_yardstick"] is None
    assert {"name", "n", "auroc", "length_held", "hardest_tenth", "layers"} == set(found["yardstick"]["worths"][0])


def test_every_ranking_of_labelled_documents_comes_with_its_yardstick(out: Path, rank: Rank) -> None:
    _, printed, _ = rank(out, "--task", "few_shot", "--by", "confidence")
    table = printed.split("Which signal puts wrong answers first? acc ")[1]
    for name in ("dispersion", "length", "confidence", "confidence_by_length", "margin", "entropy"):
        assert re.search(rf"^{name} +24 +[01]\.\d\d \[[01]\.\d\d, [01]\.\d\d\] ", table, re.M), name
    assert (
        re.search(r"^dispersion@[0-2] \* +24 ", table, re.M) and "* the best of 3 layers, chosen after looking" in table
    )
    assert table.count("paired, 24 documents") == 1 and "AUROC above one half by its own interval: " in table
    assert all(len(line) <= 100 for line in printed.splitlines() if "results_" not in line)
    assert rank(out, "--task", "few_shot", "--by", "confidence")[1] == printed


@pytest.mark.parametrize(
    ("task", "limit", "line"),
    [
        ("dispersion_demo_news", None, "Yardstick: none (no labels: a corpus has none)"),
        ("few_shot", 19, "Yardstick: none (19 documents, fewer than 20)"),
        ("few_shot", "right", "Yardstick: none (all 24 answers are right)"),
    ],
)
def test_a_ranking_without_a_yardstick_says_why(
    task: str, limit: Any, line: str, out: Path, rank: Rank, tmp_path: Path
) -> None:
    def change(number: int, sample: dict[str, Any]) -> dict[str, Any] | None:
        if isinstance(limit, int) and number >= limit:
            return None
        return sample | ({"acc": 1.0} if limit == "right" else {})

    status, printed, said = rank(changed(out, tmp_path, task, change), "--task", task, "--top", 2)
    assert (status, said) == (0, []) and line in printed.splitlines()
    assert "Which signal" not in printed


def changed(
    out: Path, folder: Path, task: str, change: Callable[[int, dict[str, Any]], dict[str, Any] | None], date: str = ""
) -> Path:
    """A copy of the run with a task's samples changed (None: left out), of another date where one is given."""
    shutil.copytree(out, folder / "out")
    (file,) = (folder / "out").rglob(f"samples_{task}_*.jsonl")
    kept = [change(i, sample) for i, sample in enumerate(map(json.loads, file.read_text().splitlines()))]
    file.write_text("".join(f"{json.dumps(sample)}\n" for sample in kept if sample is not None))
    if date:
        for one in [*(folder / "out").rglob("*.json*")]:
            one.rename(one.with_name(f"{one.stem.rpartition('_')[0]}_{date}{one.suffix}"))
    return folder / "out"


def test_documents_without_d_are_left_out_and_counted(out: Path, rank: Rank, tmp_path: Path) -> None:
    def some(number: int, sample: dict[str, Any]) -> dict[str, Any]:
        nothing = {"within": None, "layers": [], "tokens": 0} if number < 4 else {}
        return sample | {"dispersion": sample["dispersion"] | nothing}

    status, printed, _ = rank(changed(out, tmp_path, "few_shot", some), "--task", "few_shot", "--json")
    found = json.loads(printed)
    assert status == 0 and found["documents"] == {"all": 24, "ranked": 20} and len(found["hardest"]) == 20
    assert found["yardstick"]["worths"][0]["n"] == 20


def test_without_any_d_the_line_says_why_and_which_signals_there_are(out: Path, rank: Rank, tmp_path: Path) -> None:
    def without(_: int, sample: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in sample.items() if key != "dispersion"}

    copied = changed(out, tmp_path, "few_shot", without)
    (run,) = copied.rglob("results_*.json")
    content = json.loads(run.read_text())
    content["configs"]["few_shot"]["metadata"]["dispersion"]["undefined"] = "no pass could be told apart"
    run.write_text(json.dumps(content))
    status, printed, (line,) = rank(copied, "--task", "few_shot")
    assert status == 1 and printed == ""
    assert line == (
        "lm-eval-dispersion: few_shot: no document has a D (no pass could be told apart); rank by another signal: "
        "confidence, confidence_by_length, margin, entropy"
    )
    status, printed, _ = rank(copied, "--task", "few_shot", "--by", "confidence")
    assert status == 0 and "Nothing to compare: there is no D, or no other signal." in " ".join(printed.split())
    del content["configs"]["few_shot"]["metadata"]["dispersion"]
    run.write_text(json.dumps(content))
    assert "(none was recorded; run dispersion_few_shot)" in rank(copied, "--task", "few_shot")[2][0]


def test_the_newest_of_several_runs_is_ranked_and_that_is_said(out: Path, rank: Rank, tmp_path: Path) -> None:
    def same(_: int, sample: dict[str, Any]) -> dict[str, Any]:
        return sample

    changed(out, tmp_path / "b", "few_shot", same, "2999-01-01T00-00-00.000000")
    changed(out, tmp_path / "a", "few_shot", same, "2001-01-01T00-00-00.000000")
    status, _, (line,) = rank(tmp_path, "--task", "few_shot", "--json")
    newest = next((tmp_path / "b").rglob("results_2999*.json"))
    assert status == 0 and line == f"lm-eval-dispersion: 2 runs at {tmp_path}; ranking the newest, {newest.name}"
    content = json.loads(newest.read_text())
    content["configs"]["few_shot"]["metadata"]["dispersion"]["definition"]["version"] = 2
    newest.write_text(json.dumps(content))
    assert (
        f"2 runs at {tmp_path}, measured by different definitions; ranking the newest"
        in rank(tmp_path, "--task", "few_shot", "--json")[2][0]
    )
    _, _, (line,) = rank(newest, "--task", "both")
    assert line == (
        "lm-eval-dispersion: the tasks of both were measured by different definitions; rank one: few_shot, contexts"
    )


def test_of_several_tasks_one_is_ranked_and_the_others_are_named(out: Path, rank: Rank) -> None:
    status, printed, said = rank(out, "--json")
    found = json.loads(printed)
    others = ", ".join(task for task in results(out)["configs"] if task != found["task"])
    ours = f"the run has 4 tasks; ranking {found['task']}, and --task ranks another one: both, {others}"
    assert status == 0 and said[0] == f"lm-eval-dispersion: {ours}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "mmlu"], "no task mmlu at {out}; there is contexts, dispersion_demo_news, few_shot, generated"),
        (
            ["--task", "few_shot", "--by", "luck"],
            "--by luck: few_shot has no such signal; it has dispersion, length, confidence, ",
        ),
        (
            ["--task", "few_shot", "--slices", "topic"],
            "--slices topic: no field of the documents, which have subject, ",
        ),
        (["--task", "few_shot", "--csv", "/nowhere/x.csv"], "cannot write /nowhere/x.csv: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, out: Path, rank: Rank) -> None:
    status, printed, (line,) = rank(out, *arguments)
    assert status == 1 and printed == "" and line.startswith("lm-eval-dispersion: " + says.format(out=out))


def test_without_logged_samples_the_line_says_how_to_have_them(out: Path, rank: Rank, tmp_path: Path) -> None:
    (file,) = out.rglob("results_*.json")
    alone = shutil.copy(file, tmp_path)
    for arguments, of in (([], ""), (["--task", "both"], " of both")):
        status, _, (line,) = rank(tmp_path, *arguments)
        assert status == 1
        assert line == f"lm-eval-dispersion: no samples{of} beside {alone}; run lm_eval again with --log_samples"
    (tmp_path / f"samples_few_shot_{file.stem.rpartition('_')[2]}.jsonl").touch()
    status, _, (line,) = rank(tmp_path)
    assert status == 1 and line.endswith(".jsonl holds no sample")
    (tmp_path / "empty").mkdir()
    assert rank(tmp_path / "empty")[2][0].startswith("lm-eval-dispersion: no results file of lm_eval below ")
    assert rank(tmp_path / "nothing")[2] == [f"lm-eval-dispersion: no file or folder {tmp_path / 'nothing'}"]


def test_what_is_in_every_prompt_is_left_out_of_the_piece_that_is_shown(out: Path) -> None:
    documents = read_documents(out, "few_shot")
    ranking = Ranking(documents, documents.signal("dispersion"), None, "")
    assert csv_of(ranking) and jsonl_of(ranking)
    questions = [row["question"].split() for row in documents.fields]
    shared = len(documents.texts[0]) - len(documents.distinct()[0])
    if shared:
        assert all(text.startswith(documents.texts[0][:shared]) for text in documents.texts)
    assert all(
        " ".join(words[-2:]) in " ".join(text.split())
        for words, text in zip(questions, documents.distinct(), strict=True)
    )
