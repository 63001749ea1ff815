"""Every column is what the results file says, read here by hand; files of lm_eval 0.4.5, 0.4.8 and today's."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from runs import FIXTURES, load, new_run, one, read, write

OLD = ["0.4.5", "0.4.8"]


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """The ``--output_path`` of one run of today's lm_eval: a group, two filters, a wrapped task, a corpus, one shot."""
    work = tmp_path_factory.mktemp("today")
    (work / "tasks").mkdir()
    for file in (FIXTURES / "tasks").iterdir():
        (work / "tasks" / file.name).write_bytes(file.read_bytes())
    wrapped = "task: dispersion_capitals\nwraps: capitals\nclass: !function lm_eval_dispersion.DispersionTask\n"
    (work / "tasks" / "dispersion_capitals.yaml").write_text(wrapped)
    (work / "tiny-llama").symlink_to(tiny_llama)
    command = [str(Path(sys.executable).with_name("lm_eval")), "--model", "hf", "--device", "cpu"]
    command += ["--model_args", "pretrained=tiny-llama,dtype=float32", "--include_path", "tasks", "--batch_size", "4"]
    command += ["--tasks", "places,sums,dispersion_capitals,dispersion_demo_news", "--output_path", "out"]
    command += [
        "--num_fewshot",
        "1",
        "--samples",
        json.dumps({"rivers": [0, 2], "dispersion_demo_news": list(range(12))}),
        "--seed",
        "1,2,3,4",
    ]
    command += ["--gen_kwargs", "temperature=0.5,do_sample=True", "--metadata", '{"dispersion": {"window": 256}}']
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-4000:]
    return work / "out"


def said(run: dict, version: str) -> pd.DataFrame:
    """The rows of a run of today or of old, by plain look-ups."""
    rows = []
    for task, values in run["results"].items():
        below = run["group_subtasks"].get(task) or [task]
        for key, value in values.items():
            if "," not in key or "_stderr," in key:
                continue
            metric, kept = key.split(",")
            stderr = values[f"{metric}_stderr,{kept}"]
            rows.append({
                "task": task,
                "metric": metric,
                "filter": kept,
                "value": value,
                "stderr": math.nan if stderr == "N/A" else stderr,
                "version": str(run["versions"][task]),
                "n_shot": run["n-shot"][below[0]],
                "n": sum(run["n-samples"][leaf]["effective"] for leaf in below),
                "n_original": sum(run["n-samples"][leaf]["original"] for leaf in below),
                "group": task == "places",
                "parent": "places" if task in run["group_subtasks"].get("places", []) else "",
                "higher_is_better": run["higher_is_better"].get(task, {}).get(metric),
                "lm_eval": version,
            })  # fmt: skip
    return pd.DataFrame(rows)


def same(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    keys = ["task", "metric", "filter"]
    got = table[expected.columns].astype(object).sort_values(keys).reset_index(drop=True)
    want = expected.astype(object).sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(got.where(got.notna(), None), want.where(want.notna(), None), check_dtype=False)


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("name", ["plain", "chat", "limit"])
def test_the_table_of_an_old_version_is_its_json(version: str, name: str, tmp_path: Path) -> None:
    run = load(FIXTURES / version, f"results_{name}.json")
    assert "lm_eval_version" not in run
    table = read(write(tmp_path, name, run).parent).table
    same(table, said(run, ""))
    assert len(table) == {"plain": 6, "chat": 2, "limit": 2}[name]
    assert set(table["limited"]) == {name == "limit"}
    assert set(table["model"]) == {"tiny-llama"} and set(table["on_hub"]) == {False}
    assert set(table["revision"]) == {"main"}
    assert set(table["dtype"]) == {"bfloat16" if name == "chat" else "float32"}
    assert set(table["engine"]) == {"hf"} and set(table["device"]) == {"cpu"}
    assert set(table["parameters"]) == {13424} and set(table["parameters_from"]) == {"counted"}
    assert set(table["transformers"]) == {"4.49.0"}
    at = datetime.fromtimestamp(run["date"], timezone.utc).replace(microsecond=0)
    assert {datetime.fromisoformat(date.replace("Z", "+00:00")) for date in table["date"]} == {at}


@pytest.mark.parametrize("version", OLD)
def test_chat_templates_and_system_prompts_go_by_their_hash(version: str, tmp_path: Path) -> None:
    run = load(FIXTURES / version, "results_chat.json")
    row = one(read(write(tmp_path, "a", run).parent).table, metric="acc")
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    assert run["chat_template"].startswith(template)
    assert row["chat_template"] == sha256(run["chat_template"].encode()).hexdigest()[:12]
    assert row["system_prompt"] == sha256(b"Answer with a city.").hexdigest()[:12]
    assert row["n_shot"] == 2
    del run["chat_template_sha"], run["system_instruction_sha"]
    again = one(read(write(tmp_path, "a", run).parent).table, metric="acc")
    assert (again["chat_template"], again["system_prompt"]) == (row["chat_template"], row["system_prompt"])


def test_the_table_of_today_is_its_json(today: Path) -> None:
    run = load(today)
    table = read(today).table
    table = table[~table["signal"]]  # which are in its records
    same(table, said(run, run["lm_eval_version"]))
    assert set(table["filter"][table["task"] == "sums"]) == {"strict-match", "flexible-extract"}
    # --samples left documents of these out.
    assert set(table["task"][table["limited"]]) == {"places", "rivers", "dispersion_demo_news"}
    assert table["stderr"][table["metric"] == "word_perplexity"].isna().all()
    assert "N/A" in str(run["results"]["dispersion_demo_news"]["word_perplexity_stderr,none"])


def test_a_record_fills_its_columns(today: Path) -> None:
    run, table = load(today), read(today).table
    for task in ("dispersion_capitals", "dispersion_demo_news"):
        record = run["configs"][task]["metadata"]["dispersion"]
        row = one(table, task=task, metric="dispersion")
        assert list(row["profile"]) == record["within"]["mean"]
        assert list(row["profile_stderr"]) == record["within"]["stderr"]
        assert row["value"] == record["within"]["mean"][-1]
        assert row["corpus"] == record["corpus"]["name"] and row["corpus_hash"] == record["corpus"]["hash"]
        assert (
            row["kind"] == record["definition"]["kind"]
            and row["definition"] == {"prompts": "1", "corpus": "1, windows of 256"}[row["kind"]]
        )
        assert row["plugin"] == record["plugin_version"] and row["base_task"] == (record["base_task"] or "")
        assert row["how"] == f"definition {row['definition']}: within, last hidden state"
    assert table["profile"][table["metric"] != "dispersion"].isna().all()
    # Told by the records, and by them alone: --metadata leaves its options where other tasks have no record.
    assert run["configs"]["sums"]["metadata"]["dispersion"] == {"window": 256}
    assert set(table["tokenizer"]) == {record["model"]["tokenizer_hash"][:12]}
    assert set(table["model_type"]) == {"llama"}
    assert table["corpus_hash"][table["task"] == "sums"].tolist() == ["", ""]


def test_the_command_is_the_one_that_was_run(today: Path) -> None:
    (command,) = read(today).table["command"].unique()
    assert command == (
        "lm_eval --model hf --model_args pretrained=tiny-llama,dtype=float32"
        " --tasks places,sums,dispersion_capitals,dispersion_demo_news --num_fewshot 1 --batch_size 4"
        " --gen_kwargs temperature=0.5 do_sample=true --seed 1,2,3,4"
        """ --metadata '{"dispersion": {"window": 256}}'"""
    )


def test_the_command_of_an_old_version(tmp_path: Path) -> None:
    run = load(FIXTURES / "0.4.5", "results_chat.json")
    (command,) = read(write(tmp_path, "a", run).parent).table["command"].unique()
    assert command == (
        "lm_eval --model hf --model_args pretrained=tiny-llama,dtype=bfloat16,trust_remote_code=False --tasks capitals"
        " --num_fewshot 2 --batch_size 4 --apply_chat_template --fewshot_as_multiturn"
        " --system_instruction 'Answer with a city.'"
    )
    run["fewshot_as_multiturn"] = False
    run["config"] |= {"limit": 1_234_567.0, "gen_kwargs": "temperature=0.5"}
    (command,) = read(write(tmp_path, "a", run).parent).table["command"].unique()
    assert " --limit 1234567 --gen_kwargs temperature=0.5 " in command
    assert " --fewshot_as_multiturn false " in command


def test_a_hub_model_is_pinned_to_its_commit(tmp_path: Path) -> None:
    run = new_run()
    run["config"] |= {"model_args": "pretrained=org/model-7b,revision=main,dtype=auto", "model_sha": "c" * 40}
    row = one(read(write(tmp_path, "a", run).parent).table, task="sums", filter="strict-match")
    assert (row["model"], row["on_hub"], row["revision"]) == ("org/model-7b", True, "c" * 40)
    assert f"--model_args pretrained=org/model-7b,revision={'c' * 40},dtype=auto " in row["command"]


def test_numbers_that_are_none(tmp_path: Path) -> None:
    run = new_run()
    run["results"]["capitals"] |= {"acc,none": None, "acc_norm,none": math.nan, "f1,none": math.inf}
    run["results"]["capitals"] |= {"f1_stderr,none": "N/A", "em,none": 10**400, "em2,none": True, "em3,none": "0.5"}
    run["results"]["rivers"] |= {"acc,none": 1e250, "acc_stderr,none": math.inf}
    run["n-samples"]["rivers"] = {"original": 10**30, "effective": 10**30}
    run["n-shot"]["rivers"] = 10**30
    found = read(write(tmp_path, "a", run).parent)
    assert not found.skipped
    assert set(found.table["metric"][found.table["task"] == "capitals"]) == {"dispersion"}
    row = one(found.table, task="rivers")
    assert row["value"] == 1e250 and math.isnan(row["stderr"]) and pd.isna(row["n"]) and pd.isna(row["n_shot"])
    assert pd.isna(one(found.table, task="places")["n"])


def test_a_group_of_groups_counts_every_document_once(tmp_path: Path) -> None:
    run = new_run()
    run["results"]["all"] = {"acc,none": 0.1, "alias": "all"}
    run["group_subtasks"] = {"all": ["places", "capitals", "all"], "places": ["capitals", "rivers", "all"]}
    row = one(read(write(tmp_path, "a", run).parent).table, task="all")
    assert row["n"] == 10 and row["group"]


def test_groups_that_name_each_other_many_times_end(tmp_path: Path) -> None:
    run = new_run()
    run["group_subtasks"] = {f"g{i}": [f"g{j}" for j in range(300)] for i in range(300)}
    run["results"] |= {f"g{i}": {"acc,none": 0.5} for i in range(300)}
    assert len(read(write(tmp_path, "a", run).parent).table) == 300 + 7


def test_parameters_are_what_anyone_counted(tmp_path: Path) -> None:
    run = new_run()
    run["configs"]["capitals"]["metadata"]["dispersion"]["model"]["parameters"] = -1
    assert set(read(write(tmp_path, "a", run).parent).table["parameters"]) == {13424}
    run["config"]["model_num_parameters"] = True
    run["config"]["model_args"] = "pretrained=org/model-1.5b"
    table = read(write(tmp_path, "a", run).parent).table
    assert set(table["parameters"]) == {1_500_000_000} and set(table["parameters_from"]) == {"name"}


def test_the_fixtures_name_no_machine() -> None:
    for version in OLD:
        for file in (FIXTURES / version).iterdir():
            text = json.dumps(json.loads(file.read_text()))
            assert not any(place in text for place in ("/tmp", "/root", "/home", "/work", "/Users"))
