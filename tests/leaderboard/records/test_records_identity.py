"""When two records are the same, and which of them stands."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from runs import Run, new_run, one, read, write


def write_pair(folder: Path, first: Run, second: Run) -> Path:
    write(folder, "first", first)
    write(folder, "second", second)
    return folder


def test_the_newest_stands_and_the_others_are_listed(tmp_path: Path) -> None:
    runs = [new_run() for _ in range(3)]
    for i, run in enumerate(runs):
        run["date"] += (5, 9, 2)[i]
        run["results"]["rivers"]["acc,none"] = i / 10
        write(tmp_path, str(i), run)
    found = read(tmp_path)
    assert one(found.table, task="rivers")["value"] == 0.1
    assert set(found.table["source"]) == {"results_1.json"}
    lost = found.superseded[found.superseded["task"] == "rivers"]
    assert lost[["source", "replaced_by", "why"]].to_numpy().tolist() == [
        ["results_2.json", "results_1.json", "a newer run"],
        ["results_0.json", "results_1.json", "a newer run"],
    ]
    assert set(found.superseded["task"]) == set(runs[0]["results"])


@pytest.mark.parametrize("days", [-10, 0, 10])
def test_a_limited_run_never_replaces_a_full_one(tmp_path: Path, days: int) -> None:
    full, limited = new_run(), new_run()
    limited["config"]["limit"] = 3.0
    limited["date"] += days * 86400
    limited["results"]["rivers"]["acc,none"] = 1.0
    found = read(write_pair(tmp_path, full, limited))
    row = one(found.table, task="rivers")
    assert (row["value"], row["source"], row["limited"]) == (0.5, "results_first.json", False)
    assert set(found.superseded["why"]) == {"a run of every document replaces one with --limit"}
    assert set(found.superseded["source"]) == {"results_second.json"}


def test_a_limited_run_stands_marked_where_there_is_no_other(tmp_path: Path) -> None:
    old, new = new_run(), new_run()
    for run in (old, new):
        run["config"]["limit"] = 0.5
    new["date"] += 1
    found = read(write_pair(tmp_path, old, new))
    assert found.table["limited"].all() and set(found.table["source"]) == {"results_second.json"}
    assert set(found.superseded["why"]) == {"a newer run"}


def test_a_run_of_chosen_documents_counts_as_limited(tmp_path: Path) -> None:
    full, chosen = new_run(), new_run()
    chosen["date"] += 1
    chosen["n-samples"]["rivers"]["effective"] = 2
    found = read(write_pair(tmp_path, full, chosen))
    assert one(found.table, task="rivers")["source"] == "results_first.json"
    assert one(found.table, task="places")["source"] == "results_first.json"
    assert set(found.table["source"][found.table["task"] == "sums"]) == {"results_second.json"}


def test_a_copy_is_called_one(tmp_path: Path) -> None:
    found = read(write_pair(tmp_path, new_run(), new_run()))
    assert set(found.superseded["why"]) == {"another copy of the same run"}
    assert len(found.table) == 7


RECORD = ("configs", "capitals", "metadata", "dispersion")
CHANGES: dict[str, tuple[tuple[str, ...], Any]] = {
    "model": (("config", "model_args"), "pretrained=org/other,dtype=float32"),
    "revision": (("config", "model_sha"), "d" * 40),
    "revision asked for": (("config", "model_revision"), "step-1000"),
    "gguf file": (("config", "model_args"), "pretrained=tiny-llama,dtype=float32,gguf_file=tiny-llama-Q4_1.gguf"),
    "peft": (("config", "model_args"), "pretrained=tiny-llama,dtype=float32,peft=org/adapter"),
    "dtype": ((*RECORD, "engine", "dtype"), "bfloat16"),
    "quantisation": (("config", "model_args"), "pretrained=tiny-llama,dtype=float32,load_in_4bit=True"),
    "quantisation recorded": ((*RECORD, "model", "quantisation"), "gptq"),
    "engine": (("config", "model"), "vllm"),
    "chat template": (("chat_template_sha",), "e" * 64),
    "system prompt": (("system_instruction_sha",), "f" * 64),
    "version": (("versions", "capitals"), 1.5),
    "n-shot": (("n-shot", "capitals"), 5),
    "definition version": ((*RECORD, "definition", "version"), 2),
    "corpus hash": ((*RECORD, "corpus", "hash"), "9" * 64),
}


def changed(run: Run, path: tuple[str, ...], value: Any) -> Run:
    run = copy.deepcopy(run)
    inner = run
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return run


@pytest.mark.parametrize("key", CHANGES)
def test_each_key_tells_two_records_apart(tmp_path: Path, key: str) -> None:
    first = new_run()
    second = changed(first, *CHANGES[key])
    second["date"] += 1
    found = read(write_pair(tmp_path, first, second))
    mine = found.table[(found.table["task"] == "capitals") & (found.table["metric"] == "acc")]
    assert set(mine["source"]) == {"results_first.json", "results_second.json"}
    assert mine["record"].nunique() == 2
    assert "capitals" not in set(found.superseded["task"])
    of_the_task = key in ("version", "n-shot", "definition version", "corpus hash")
    assert mine["entry"].nunique() == (1 if of_the_task else 2)


def test_the_task_tells_two_records_apart(tmp_path: Path) -> None:
    found = read(write(tmp_path, "a", new_run()).parent)
    assert found.table.groupby("record", observed=True)["task"].nunique().eq(1).all()
    assert found.table["record"].nunique() == 4 and found.table["entry"].nunique() == 1


@pytest.mark.parametrize(
    "path, value",
    [
        (("config", "batch_size"), "auto:4"),
        (("config", "device"), "cuda:0"),
        (("config", "model_args"), {"pretrained": "tiny-llama", "dtype": "float32"}),
        (("config", "model_args"), "pretrained=/home/alice/models/tiny-llama,dtype=float32"),
        (("config", "model_args"), "pretrained=./tiny-llama,dtype=float32,load_in_4bit=false,autogptq=False"),
        (("lm_eval_version",), "0.4.13"),
        (("pretty_env_info",), "another machine"),
        (("config", "model_num_parameters"), 5),
    ],
)
def test_nothing_else_does(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    first = new_run()
    second = changed(first, path, value)
    second["date"] += 1
    found = read(write_pair(tmp_path, first, second))
    assert set(found.table["source"]) == {"results_second.json"}
    assert set(found.superseded["source"]) == {"results_first.json"}


def test_a_group_of_an_old_version_and_of_today_are_the_same(tmp_path: Path) -> None:
    old, new = new_run(), new_run()
    assert "places" not in old["n-shot"]
    new["n-shot"]["places"] = 0
    new["versions"]["places"] = "3.0"
    new["date"] += 1
    assert one(read(write_pair(tmp_path, old, new)).table, task="places")["source"] == "results_second.json"


def test_what_one_run_tells_of_a_model_holds_for_its_others(tmp_path: Path) -> None:
    first, second = new_run(), new_run()
    second["results"] = {"sums": second["results"]["sums"]}
    second["configs"] = {"sums": second["configs"]["sums"]}
    second["n-shot"]["sums"] = 3
    found = read(write_pair(tmp_path, first, second))
    assert found.table["entry"].nunique() == 1
    assert set(found.table["model_type"]) == {"llama", ""}, "as the file says"
    assert set(found.table["tokenizer"]) == {"b" * 12}
