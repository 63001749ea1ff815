"""A user's mistake gets one line that names the thing and the fix, a non-zero exit, and no traceback."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from stock import CHOICE, ROLLING, task_manager

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._errors import TaskError

Load = Callable[..., str]


@pytest.fixture(scope="module")
def every_task() -> Any:
    """Knows all of lm_eval's tasks and ours, as the command does."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


@pytest.fixture
def refused(every_task: Any, tmp_path: Path) -> Load:
    """Loads a task by name, or a YAML by its path, and gives back the one line it ends with."""

    def load(task: str, yaml: str | None = None, **options: Any) -> str:
        folder = tmp_path / "tasks"
        folder.mkdir(exist_ok=True)
        if yaml is not None:
            (folder / f"{task}.yaml").write_text(yaml)
        manager = copy(every_task)  # indexing lm_eval's tasks takes seconds, once
        manager._factory = type(every_task._factory)(meta={"dispersion": options} if options else None)
        with pytest.raises(TaskError) as stop:
            manager.load([task if yaml is None else str(folder / f"{task}.yaml")])
        line = str(stop.value)
        assert line.startswith("lm-eval-dispersion: ") and "\n" not in line
        return line

    return load


def wrapping(name: str, task: str = "mine") -> str:
    return f"task: {task}\nwraps: {name}\nclass: !function lm_eval_dispersion.DispersionTask\n"


def test_a_dataset_that_cannot_be_reached_is_named_with_the_way_on(refused: Load) -> None:
    line = refused("dispersion_wiki")
    assert "dispersion_wiki" in line and "EleutherAI/wikitext_document_level" in line and "HF_HOME" in line


def test_wrapping_an_unknown_task_names_it(refused: Load) -> None:
    assert "`wraps: arc_chalenge` names no task" in refused("mine", wrapping("arc_chalenge"))


def test_wrapping_a_group_or_a_tag_names_its_tasks(refused: Load) -> None:
    assert "mmlu_humanities" in refused("mine", wrapping("mmlu"))
    assert "arc_challenge" in refused("mine", wrapping("ai2_arc"))


def test_wrapping_one_of_ours_is_refused(refused: Load) -> None:
    assert "records dispersion already" in refused("mine", wrapping("dispersion_demo_mmlu"))
    assert "records dispersion already" in refused("mine", wrapping("dispersion_arc_easy"))


def test_an_unknown_option_is_named_with_those_there_are(refused: Load) -> None:
    line = refused("dispersion_text", text="x.txt", max_docs=3)
    assert "'max_docs'" in line and "max_documents" in line


def test_text_is_asked_for_where_none_is_given(refused: Load) -> None:
    assert '"text": "my/*.jsonl"' in refused("dispersion_text")


def test_a_pattern_without_a_file_is_named(refused: Load, tmp_path: Path) -> None:
    assert "no file matches" in refused("dispersion_text", text=str(tmp_path / "nothing*.jsonl"))


def test_an_unknown_field_is_named_with_those_there_are(refused: Load, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"body": "words", "id": 1}) + "\n")
    line = refused("dispersion_text", text=str(file), field="text")
    assert "no field 'text'" in line and "body, id" in line
    assert "not text" in refused("dispersion_text", text=str(file), field="id")


@pytest.mark.parametrize("content", ["", "\n", '{"text": ""}\n{"text": "  "}\n'])
def test_an_empty_corpus_is_said_to_be_empty(refused: Load, tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(content)
    line = refused("dispersion_text", text=str(file))
    assert str(file) in line


def test_text_that_is_not_utf8_names_the_file_and_the_byte(refused: Load, tmp_path: Path) -> None:
    good, bad, packed = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt.gz"
    good.write_text("fine")
    bad.write_bytes(b"caf\xe9 au lait")
    line = refused("dispersion_text", text=str(tmp_path / "*.txt"))
    assert f"{bad} is not UTF-8 (byte 3)" in line
    packed.write_bytes(gzip.compress(b"caf\xe9"))
    assert f"{packed} is not UTF-8" in refused("dispersion_text", text=str(packed))


def test_broken_files_are_named(refused: Load, tmp_path: Path) -> None:
    for name, content in (
        ("a.jsonl", b'{"text": "one"}\n{"text": \n'),
        ("b.parquet", b"PAR1 not"),
        ("c.jsonl.gz", b"no"),
    ):
        (tmp_path / name).write_bytes(content)
        assert str(tmp_path / name) in refused("dispersion_text", text=str(tmp_path / name))


def test_files_of_a_kind_we_do_not_read_or_of_two_kinds_are_named(refused: Load, tmp_path: Path) -> None:
    for name in ("a.docx", "b.txt", "c.jsonl"):
        (tmp_path / name).write_text("{}")
    assert "a.docx" in refused("dispersion_text", text=str(tmp_path / "a.docx"))
    line = refused("dispersion_text", text=[str(tmp_path / "b.txt"), str(tmp_path / "c.jsonl")])
    assert "b.txt" in line and "c.jsonl" in line


@pytest.mark.parametrize("value", [0, -1, "10", 2.5, True])
def test_a_sample_size_that_is_no_number_is_refused(refused: Load, tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert "max_documents" in refused("dispersion_text", text=str(tmp_path / "a.txt"), max_documents=value)


def test_an_empty_dataset_of_a_wrapped_task_is_said_to_be_empty(refused: Load, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "empty.py").write_text(
        "from datasets import Dataset\ndef data(**_):\n    return {'test': Dataset.from_dict({'text': []})}\n"
    )
    yaml = ROLLING.replace("stock_rolling", "mine").replace("lm_eval_dispersion.corpora.demo_news", "empty.data")
    assert "holds no document" in refused("mine", yaml + "class: !function lm_eval_dispersion.DispersionTask\n")


def test_the_command_line_ends_with_that_line_and_status_1(cli: Cli, tiny_llama: Path, tmp_path: Path) -> None:
    metadata = json.dumps({"dispersion": {"text": str(tmp_path / "none.txt")}})
    done = cli(
        *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama}"),
        *("--tasks", "dispersion_text", "--metadata", metadata),
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lm-eval-dispersion: dispersion_text: no file matches")


def test_an_api_model_is_refused_before_a_request_is_sent(tiny_llama: Path) -> None:
    from lm_eval import simple_evaluate

    # Nothing listens on port 9: a request would be retried, and its error would be another one.
    arguments = f"model=x,base_url=http://127.0.0.1:9/v1/completions,tokenizer={tiny_llama},max_retries=1"
    tasks = {"tasks": ["dispersion_demo_news"], "limit": 1, "task_manager": task_manager(Path(tasks_folder()))}
    with pytest.raises(TaskError) as stop:
        simple_evaluate(model="local-completions", model_args=arguments, **tasks)
    line = str(stop.value)
    assert line.startswith("lm-eval-dispersion: ") and "\n" not in line
    assert "gives no hidden states" in line and "--model hf" in line


def test_interrupting_leaves_no_half_written_file(smollm2: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [str(Path(sys.executable).with_name("lm_eval")), "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={smollm2},dtype=float32", "--tasks", "dispersion_demo_wiki"]
    command += ["--output_path", str(output), "--log_samples"]
    # A shell's background job, which a CI's may be, hands down an ignored SIGINT.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Running dispersion_loglikelihood_rolling" in line:
            break
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode != 0
    assert not [p for p in output.rglob("*") if p.is_file()]


def test_a_model_that_gives_nan_has_null_dispersion_counted_and_keeps_its_stock_metrics(
    tiny_llama: Path, tmp_path: Path
) -> None:
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM

    tasks = tmp_path / "tasks"
    tasks.mkdir()
    ours = "class: !function lm_eval_dispersion.DispersionTask\n"
    (tasks / "choice.yaml").write_text(CHOICE.replace("stock_choice", "nan_choice") + ours)
    (tasks / "rolling.yaml").write_text(ROLLING.replace("stock_rolling", "nan_rolling") + ours)
    (tasks / "group.yaml").write_text(
        "group: nan_group\ntask: [nan_choice]\naggregate_metric_list:\n"
        "  - {metric: acc, weight_by_size: true}\n  - {metric: dispersion, weight_by_size: true}\n"
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    lm = HFLM(pretrained=model, tokenizer=str(tiny_llama))
    found = simple_evaluate(model=lm, tasks=["nan_group", "nan_rolling"], limit=3, task_manager=task_manager(tasks))
    choice = found["results"]["nan_choice"]
    assert choice["dispersion,none"] is None and choice["dispersion_stderr,none"] == "N/A"
    assert isinstance(choice["acc,none"], float)
    assert found["results"]["nan_group"]["acc,none"] == choice["acc,none"]
    for task in ("nan_choice", "nan_rolling"):
        record = found["configs"][task]["metadata"]["dispersion"]
        assert record["counts"]["nonfinite_vectors"] == record["counts"]["vectors"] > 0
        # the layers before the damage are measured as ever
        assert all(isinstance(v, float) for v in record["within"]["mean"][:2]) and record["within"]["mean"][2] is None
        json.dumps(record, allow_nan=False)


def test_documents_of_one_token_have_perplexity_and_no_dispersion(tiny_llama: Path, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": letter}) + "\n" for letter in "abcdefgh"))
    options = {"text": str(tmp_path / "a.jsonl"), "name": "letters"}
    manager = task_manager(Path(tasks_folder()), metadata={"dispersion": options})
    found = simple_evaluate(
        model=HFLM(pretrained=str(tiny_llama), device="cpu"), tasks=["dispersion_text"], task_manager=manager
    )
    row = found["results"]["dispersion_text"]
    assert row["bits_per_byte,none"] > 0
    for name in ("dispersion", "dispersion_across", "dispersion_pearson", "dispersion_spearman"):
        assert row[f"{name},none"] is None and row[f"{name}_stderr,none"] == "N/A"
    counts = found["configs"]["dispersion_text"]["metadata"]["dispersion"]["counts"]
    assert (counts["documents"], counts["short_windows"], counts["segments"]) == (8, 8, 0)


def test_a_task_in_the_wrappers_own_folder_is_found(every_task: Any, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(CHOICE.replace("stock_choice", "theirs"))
    (tmp_path / "mine.yaml").write_text(wrapping("theirs"))
    (task,) = every_task.load([str(tmp_path / "mine.yaml")])["tasks"].values()
    assert task.config.task == "mine" and task.config.doc_to_choice == "choices"
