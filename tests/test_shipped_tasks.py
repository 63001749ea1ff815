"""Every YAML we ship, and benchmarks by their prefixed names, run by the real ``lm_eval`` command on stand-ins of their
datasets, beside the tasks they wrap."""

from __future__ import annotations

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from conftest import Cli, results
from hub import Hub
from lm_eval.tasks._yaml_loader import load_yaml
from published import REVISIONS, publish

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion.corpora import demo_news

pytestmark = pytest.mark.long

LIMIT = 4
FOLDER = Path(tasks_folder())
YAMLS = {path: load_yaml(path, resolve_func=False) for path in sorted(FOLDER.rglob("*.yaml"))}
GROUPS = {config["group"]: config for config in YAMLS.values() if "group" in config}
TASKS = {config["task"]: config for config in YAMLS.values() if "group" not in config}
# Of some families, by the task, and of ARC by the tag.
BENCHMARKS = ("boolq", "gsm8k", "hellaswag", "lambada_openai", "openbookqa", "piqa", "truthfulqa_mc2", "winogrande")
ARC = ("arc_challenge", "arc_easy")
STOCK_MMLU = Path(lm_eval.tasks.__path__[0]) / "mmlu" / "default"
SUBJECTS = {load_yaml(path, resolve_func=False)["task"] for path in STOCK_MMLU.glob("mmlu_*.yaml")}
WRAPPED = {f"dispersion_{name}": name for name in (*BENCHMARKS, *ARC, *SUBJECTS)} | {
    name: config["wraps"] for name, config in TASKS.items() if "wraps" in config
}
MMLU_GROUPS = ("mmlu", "mmlu_stem", "mmlu_humanities", "mmlu_social_sciences", "mmlu_other")


@dataclass(frozen=True)
class Runs:
    """The results files of the four runs, and what was asked of the hub."""

    prompts: dict[str, Any]
    """Prefixed benchmarks, and ``dispersion_wiki``."""
    stock: dict[str, Any]
    """The tasks they wrap: the same requests of each type, so the same batches."""
    corpora: dict[str, Any]
    """All others: the group ``dispersion``, the demo, the user's own text."""
    wikitext: dict[str, Any]
    """lm_eval's own, with our windows."""
    asked: list[tuple[str, str, str]]

    @property
    def ours(self) -> dict[str, Any]:
        return self.corpora["results"] | self.prompts["results"]


@pytest.fixture(scope="module")
def runs(cli: Cli, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("shipped")
    text = folder / "text.jsonl"
    text.write_text("".join(json.dumps({"text": row}) + "\n" for row in demo_news()["test"]["text"][:LIMIT]))
    labelled = ["mmlu", "ai2_arc", *BENCHMARKS]
    prefixed = [f"dispersion_{name}" for name in labelled]
    others = ["dispersion", *(name for name in TASKS if name.startswith("dispersion_demo")), "dispersion_text"]
    short = ("--gen_kwargs", "max_gen_toks=16")
    options = ("--metadata", json.dumps({"dispersion": {"text": str(text)}}))

    with Hub() as hub, ThreadPoolExecutor(2) as two_at_a_time:
        publish(hub)

        def run(name: str, tasks: list[str], *options: str, max_length: int = 2048) -> dict[str, Any]:
            model = f"pretrained={tiny_llama},dtype=float32,max_length={max_length}"
            cli(
                *("run", "--model", "hf", "--device", "cpu", "--model_args", model, "--batch_size", "8"),
                *("--tasks", *tasks, "--limit", str(LIMIT), "--output_path", str(folder / name), *options),
                # A cache of its own, so that each run downloads all it needs.
                **hub.environment(folder / f"{name}-home"),
            )
            return results(folder / name)

        started = {
            "prompts": two_at_a_time.submit(run, "prompts", [*prefixed, "dispersion_wiki"], *short),
            "stock": two_at_a_time.submit(run, "stock", labelled, *short),
            "corpora": two_at_a_time.submit(run, "corpora", others, *options),
            "wikitext": two_at_a_time.submit(run, "wikitext", ["wikitext"], max_length=512),
        }
        return Runs(**{name: future.result() for name, future in started.items()}, asked=hub.asked)


def test_every_task_we_ship_or_wrap_is_run_and_has_a_dispersion_with_a_standard_error(runs: Runs) -> None:
    tasks = set(TASKS) | set(WRAPPED)
    assert set(runs.ours) == tasks | set(GROUPS) | {f"dispersion_{group}" for group in MMLU_GROUPS}
    assert len(SUBJECTS) == 57
    for name in tasks:
        headline = {key: value for key, value in runs.ours[name].items() if key.startswith("dispersion,")}
        errors = {key: value for key, value in runs.ours[name].items() if key.startswith("dispersion_stderr,")}
        assert len(headline) == len(errors) == (2 if name == "dispersion_gsm8k" else 1), name
        assert all(0 < value < 2 for value in headline.values()), name
        assert all(isinstance(value, float) and value > 0 for value in errors.values()), name


def test_a_wrapped_task_keeps_lm_evals_own_numbers_to_the_last_bit(runs: Runs) -> None:
    for name, wrapped in WRAPPED.items():
        stock = runs.wikitext if wrapped == "wikitext" else runs.stock
        ours, theirs = runs.prompts["results"][name], dict(stock["results"][wrapped])
        assert theirs.pop("name") == wrapped
        # An alias of its own comes along; one that is only the name is ours here.
        assert theirs.pop("alias") in (wrapped, ours["alias"])
        assert {key: ours[key] for key in theirs} == theirs, name
        assert {key.split(",")[0].split("_")[0] for key in ours.keys() - theirs} - {"name", "alias"} == {"dispersion"}
        for what in ("versions", "n-shot", "n-samples"):
            assert runs.prompts[what][name] == stock[what][wrapped], (name, what)
        for metric, higher in stock["higher_is_better"][wrapped].items():
            assert runs.prompts["higher_is_better"][name][metric] == higher


def test_the_numbers_that_are_compared_differ_from_task_to_task(runs: Runs) -> None:
    # Else a task that ran another one's documents would pass the test above.
    accuracy = [r["acc,none"] for r in runs.stock["results"].values() if "acc,none" in r]
    assert len(set(accuracy)) > 5
    assert len({r["dispersion,none"] for r in runs.ours.values() if "dispersion,none" in r}) > 60


def test_the_mmlu_groups_aggregate_accuracy_as_lm_eval_does_and_dispersion_by_size(runs: Runs) -> None:
    for group in MMLU_GROUPS:
        ours, theirs = runs.prompts["groups"][f"dispersion_{group}"], runs.stock["groups"][group]
        for key in ("acc,none", "acc_stderr,none", "sample_len"):
            assert ours[key] == theirs[key], group
        assert ours["alias"] == (f"dispersion_{group}" if group == "mmlu" else theirs["alias"])
        assert runs.prompts["versions"][f"dispersion_{group}"] == runs.stock["versions"][group]
        subjects = [f"dispersion_{name}" for name in _leaves(runs.stock["group_subtasks"], group)]
        assert set(subjects) == set(_leaves(runs.prompts["group_subtasks"], f"dispersion_{group}"))
        members = [runs.ours[name] for name in subjects]
        total = sum(member["dispersion,none"] * member["sample_len"] for member in members)
        assert ours["dispersion,none"] == pytest.approx(total / ours["sample_len"])
        assert ours["dispersion_stderr,none"] > 0


def test_the_group_of_corpora_holds_the_six_domains(runs: Runs) -> None:
    domains = ("wiki", "news", "abstracts", "medical", "code", "law")
    assert runs.corpora["group_subtasks"]["dispersion"] == [f"dispersion_{domain}" for domain in domains]
    for domain in domains:
        result = runs.ours[f"dispersion_{domain}"]
        assert all(math.isfinite(result[f"{m},none"]) for m in ("word_perplexity", "byte_perplexity", "bits_per_byte"))
        assert result["sample_len"] == LIMIT


def test_a_large_corpus_is_a_sample_by_default_and_its_record_and_readme_say_which(runs: Runs) -> None:
    readme = (FOLDER / "corpora" / "README.md").read_text(encoding="utf-8")
    sampled = {name: c["dataset_kwargs"]["max_documents"] for name, c in TASKS.items() if "dataset_kwargs" in c}
    assert set(sampled) == {f"dispersion_{domain}" for domain in ("news", "abstracts", "medical", "code", "law")}
    for name, count in sampled.items():
        record = runs.corpora["configs"][name]["metadata"]["dispersion"]
        assert record["corpus"]["selection"] == {"max_documents": count, "seed": 0}
        assert re.search(rf"^\| `{name}` \|.*\| {count:,} \|", readme, re.M), name
    for name in ("dispersion_text", "dispersion_demo_news"):
        assert runs.corpora["configs"][name]["metadata"]["dispersion"]["corpus"]["selection"] == {}
    assert runs.prompts["configs"]["dispersion_wiki"]["metadata"]["dispersion"]["corpus"]["selection"] == {}


def test_the_corpora_are_asked_for_at_their_pinned_commits_and_without_the_splits_nobody_reads(runs: Runs) -> None:
    asked = {repository: {r for name, r, _ in runs.asked if name == repository} for repository in REVISIONS}
    assert asked == {repository: {revision} for repository, revision in REVISIONS.items()}
    pinned = [c for c in TASKS.values() if "dataset_kwargs" in c]
    pins = {
        c.get("dataset_path", c["dataset_kwargs"].get("repository")): c["dataset_kwargs"]["revision"] for c in pinned
    }
    assert pins == REVISIONS
    for repository in ("abisee/cnn_dailymail", "ccdv/arxiv-summarization", "ccdv/pubmed-summarization"):
        files = {path for name, _, path in runs.asked if name == repository and path.endswith(".parquet")}
        config = "3.0.0" if "cnn" in repository else "document"
        assert files == {f"{config}/test-00000-of-00001.parquet"}


@pytest.mark.parametrize("folder", sorted({path.parent for path in YAMLS}), ids=lambda folder: folder.name)
def test_a_folder_of_tasks_has_a_readme_that_names_each_of_them(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for path, config in YAMLS.items():
        if path.parent == folder:
            subject = config["task"] if "group" not in config else config["group"]
            assert f"`{subject}`" in readme, f"{readme[:40]!r} does not name {subject}"
    for heading in ("### Paper", "### Citation", "### Groups and Tasks", "### Checklist", "### Changelog"):
        assert heading in readme
    assert "2506.24106" in readme


def test_a_yaml_is_named_after_its_task_and_is_there_only_where_the_prefix_alone_would_not_do() -> None:
    for path, config in YAMLS.items():
        assert path.stem == config.get("group", config["task"])
        if "wraps" in config:
            assert set(config) == {"task", "wraps", "class"}
            assert config["task"] != f"dispersion_{config['wraps']}"


def _leaves(tree: dict[str, list[str]], group: str) -> list[str]:
    return [leaf for name in tree[group] for leaf in (_leaves(tree, name) if name in tree else [name])]
