"""Credentials, homes and hostile names that are planted in a results file, and what comes out of it."""

from __future__ import annotations

import re
import shlex
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from dispersion_leaderboard.records import write_parquet, write_table
from dispersion_leaderboard.records._clean import LONGEST, clean
from hypothesis import given
from hypothesis import strategies as st
from runs import Run, new_run, read, write

TAIL = "Zq8Lr2Xw5Tn1Vb7Kc4Md9Pf3Gh6Js0Ay"
TOKENS = {
    "hf": "hf_" + TAIL,
    "openai": "sk-proj-" + TAIL,
    "github": "ghp_" + TAIL,
    "github fine": "github_pat_11A_" + TAIL,
    "gitlab": "glpat-" + TAIL,
    "aws": "AKIA" + "ZQ8LR2XW5TN1VB7K",
    "google": "AIza" + TAIL,
    "slack": "xoxb-" + TAIL,
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.{TAIL}.{TAIL}",
    "bearer": "Bearer " + TAIL,
    "url": "https://alice:" + TAIL + "@host.example/x",
    "named": "token=" + TAIL,
    "quoted": f"{{'password': '{TAIL}'}}",
    "key": f"api_key={TAIL}&x=1",
}
HOMES = {
    "linux": "/home/secretperson/models/shownpart",
    "spaces": "/home/secret person/my models/shownpart",
    "url": "file:///home/secretperson/shownpart",
    "mac": "/Users/secretperson/shownpart",
    "windows": "C:\\Users\\secretperson\\models\\shownpart",
    "windows slashes": "c:/Users/secretperson/shownpart",
    "windows spaces": "D:\\Users\\secret person\\shownpart",
    "root": "/root/secretperson/shownpart",
    "tilde": "~/secretperson/shownpart",
    "other": "~secretperson/shownpart",
    "mount": "/mnt/secretperson/shownpart",
    "share": "\\\\secretperson\\share\\shownpart",
    "nested": "/nfs/home/secretperson/shownpart",
    "up": "../../secretperson/shownpart",
}
PLANTED = re.compile(rf"{TAIL}|ZQ8LR2XW5TN1VB7K|secret.?person", re.IGNORECASE)


def in_string_arguments(run: Run, text: str) -> None:
    run["config"]["model_args"] = f"pretrained=org/model,token={text},my_thing={text},tokenizer={text},peft={text}"


def in_argument_mapping(run: Run, text: str) -> None:
    keys = ("peft", "tokenizer", "subfolder", "dtype", "gguf_file", "delta", "quantization", "revision")
    odd = ("token", "hf_token", "x-api-key", "Authorization", "headers", "base_url")
    run["config"]["model_args"] = {"pretrained": "org/model"} | dict.fromkeys((*keys, *odd), text)


def in_nested_arguments(run: Run, text: str) -> None:
    run["config"]["model_args"] = {"pretrained": {"token": text}, "tokenizer": [text], "dtype": {"x": text}}


def in_the_name(run: Run, text: str) -> None:
    run["config"]["model_args"] = {"pretrained": text}
    run["model_name"] = run["model_name_sanitized"] = text


def in_the_name_alone(run: Run, text: str) -> None:
    del run["config"]["model_args"]
    run["model_name"] = text


def in_the_config(run: Run, text: str) -> None:
    for key in ("model", "model_dtype", "model_revision", "model_sha", "device", "batch_size", "use_cache"):
        run["config"][key] = text
    run["config"]["gen_kwargs"] = {"stop": text, "token": TAIL, "headers": {"x": TAIL}, "list": [text]}


def in_metadata(run: Run, text: str) -> None:
    for config in run["configs"].values():
        config["metadata"] |= {"config_source": text, "pretrained": text, "token": text, "dispersion_more": {"x": text}}
    record = run["configs"]["capitals"]["metadata"]["dispersion"]
    for part in ("definition", "corpus", "engine", "model"):
        record[part] |= {key: text for key, value in record[part].items() if isinstance(value, str)}
    record["corpus"]["selection"] |= {"field": text, text: 3}
    record["base_task"] = record["plugin_version"] = text


def in_texts(run: Run, text: str) -> None:
    run["pretty_env_info"] = run["system_instruction"] = run["chat_template"] = f"You are in {text}"
    run["chat_template_sha"] = run["lm_eval_version"] = run["transformers_version"] = text


def in_task_names(run: Run, text: str) -> None:
    for key in ("results", "configs", "versions", "n-shot", "n-samples", "higher_is_better"):
        run[key] = {f"{task} {text}": value for task, value in run[key].items()}
    run["group_subtasks"] = {f"places {text}": [f"rivers {text}"]}
    run["task_hashes"] = {f"rivers {text}": text}
    run["versions"][f"rivers {text}"] = text


def in_metric_names(run: Run, text: str) -> None:
    run["results"]["rivers"] |= {f"{text},none": 0.5, f"acc2,{text}": 0.5}


WHERE = [value for name, value in list(globals().items()) if name.startswith("in_")]


def everything_shown(folder: Path, out: Path) -> str:
    found = read(folder)
    write_parquet(found.table, out / "a.parquet")
    write_table(found.table, out / "a.csv")
    text = found.table.to_string(max_colwidth=None) + found.superseded.to_string() + str(found.skipped)
    text += str(found.table.to_dict("records")) + str(pq.read_table(out / "a.parquet").to_pylist())
    # The file's own bytes, compressed and not.
    pq.write_table(pq.read_table(out / "a.parquet"), out / "b.parquet", compression="none", use_dictionary=False)
    for name in ("a.parquet", "b.parquet", "a.csv"):
        text += (out / name).read_bytes().decode("utf-8", "replace")
    return text


@pytest.mark.parametrize("kind", [*TOKENS, *HOMES])
@pytest.mark.parametrize("plant", WHERE)
def test_nothing_planted_comes_out(tmp_path: Path, plant: Callable[[Run, str], None], kind: str) -> None:
    run = new_run()
    plant(run, (TOKENS | HOMES)[kind])
    shown = everything_shown(write(tmp_path / "runs", "a", run).parent, tmp_path)
    assert "exact_match" in shown
    assert not PLANTED.search(shown), PLANTED.search(shown)


@pytest.mark.parametrize("kind", HOMES)
def test_of_a_place_the_last_part_is_kept(tmp_path: Path, kind: str) -> None:
    run = new_run()
    run["config"]["model_args"] = {"pretrained": HOMES[kind], "dtype": "float32"}
    assert set(read(write(tmp_path, "a", run).parent).table["model"]) == {"shownpart"}


@pytest.mark.parametrize("kind", ["hf", "openai", "github", "linux", "mac"])
def test_not_in_the_names_of_files_either(tmp_path: Path, kind: str) -> None:
    text = (TOKENS | HOMES)[kind].replace("/", "__")
    folder = tmp_path / "runs" / text
    (write(folder, "bad", {}), write(folder, "good", new_run()))
    assert not PLANTED.search(everything_shown(tmp_path / "runs", tmp_path))


def test_arguments_that_are_not_shown_are_counted(tmp_path: Path) -> None:
    run = new_run()
    run["config"]["model_args"] = f"pretrained=org/model,dtype=float32,token={TAIL},cache_dir=/x"
    (command,) = read(write(tmp_path, "a", run).parent).table["command"].unique()
    assert "--model_args pretrained=org/model,dtype=float32 --tasks" in command
    assert command.endswith("  # 2 model argument(s) not shown")


@pytest.mark.parametrize(
    "text",
    [
        "org/model-7b-v1.5", "and/or", "</think>", "https://host.example/a/b?c=d", "a / b", "~5 of 10", "1/2", "C:",
        "task-with-a-long-name", "risk-assessment-of-models", "hf_model", "max_tokens", "Q4_K_M", "bnb 4 bit",
        "日本語/模型",
        "x\\frac{1}{2}", "acc_norm", "mmlu_high_school_us_history", "12:30", "{{question}}\\n", "s3://bucket/model",
    ],
)  # fmt: skip
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("value", [None, [], {}, ["/home/a"], {"token": "x"}, b"x"])
def test_what_is_no_text_gives_none(value: Any) -> None:
    assert clean(value) == ""


words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="@:/\\"), max_size=20)


@given(before=words, after=words, token=st.sampled_from([*TOKENS.values(), *HOMES.values()]))
def test_no_surroundings_hide_a_credential(before: str, after: str, token: str) -> None:
    shown = clean(f"{before} {token} {after}")
    assert not PLANTED.search(shown)
    assert clean(shown) == shown or len(shown) > LONGEST - 50


@given(st.text(max_size=3000))
def test_what_is_shown_is_visible_and_bounded(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= LONGEST
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def test_a_credential_at_the_cut_is_not_cut_in_two() -> None:
    for position in range(LONGEST - 60, LONGEST + 5):
        assert TAIL[:8] not in clean("x" * position + " " + TOKENS["jwt"])


@pytest.mark.parametrize(
    "unit", ["/", "\\", "/home/", "~.", "../", "eyJaaaaaaaa.", "://a", "token='", "bearer ", "C:\\"]
)
def test_no_text_takes_long(unit: str) -> None:
    started = time.perf_counter()
    clean(unit * 100_000)
    clean("/home/" + unit * 100_000)
    assert time.perf_counter() - started < 2


HOSTILE = {
    '"><script>alert(1)</script>': '"><script>alert(1)</script>',
    "org/\u202etxt.exe": "org/‹U+202E›txt.exe",
    "zero\u200bwidth": "zero‹U+200B›width",
    "x" * 300: "x" * 300,
    "naïve/模型-7b": "naïve/模型-7b",
    "a\nb\tc": "a b c",
    "a\x00b\x1bc": "a‹U+0000›b‹U+001B›c",
    "../../x": "x",
    "..": "?",
    "/": "?",
    "~": "?",
    "": "tiny-llama",
    "=HYPERLINK(1)": "=HYPERLINK(1)",
    "$(rm -rf x)": "$(rm -rf x)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_readable_text(tmp_path: Path, name: str) -> None:
    run = new_run()
    run["config"]["model_args"] = {"pretrained": name}
    table = read(write(tmp_path, "a", run).parent).table
    assert set(table["model"]) == {HOSTILE[name]}


def test_the_command_of_a_hostile_name_is_one_quoted_word(tmp_path: Path) -> None:
    run = new_run()
    run["config"]["model_args"] = {"pretrained": "x'; rm -rf ~; echo '"}
    (command,) = read(write(tmp_path, "a", run).parent).table["command"].unique()
    words = shlex.split(command)
    assert words[:3] == ["lm_eval", "--model", "hf"] and words[3] == "--model_args" and words[5] == "--tasks"
    assert "rm -rf" in words[4]
