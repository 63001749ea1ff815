"""What a results file says of how a number was measured: valid by the published schema, and nothing secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import Cli, results, samples
from stock import task_manager

from lm_eval_dispersion import __version__
from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion.record import schema

TOKEN = "hf_planted_in_the_model_arguments"


@pytest.fixture(scope="module")
def run(cli: Cli, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("record")
    rows = [
        {"body": f"Ticket {i}. " + "The printer on the third floor does not print. " * (i % 7 + 1) * 20}
        for i in range(30)
    ]
    (folder / "private-tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "text": str(folder / "private-*.jsonl"),
        "field": "body",
        "name": "tickets",
        "max_documents": 20,
        "seed": 3,
    }
    done = cli(
        *("--model", "hf", "--device", "cpu", "--tasks", "dispersion_text,dispersion_demo_mmlu", "--limit", "12"),
        *("--model_args", f"pretrained={tiny_llama},dtype=float32,token={TOKEN}", "--log_samples"),
        *("--metadata", json.dumps({"dispersion": options}), "--output_path", str(folder / "out")),
    )
    return folder / "out", done.stderr


def test_records_are_valid_by_the_published_schema(run: tuple[Path, str]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    for task in ("dispersion_text", "dispersion_demo_mmlu"):
        jsonschema.validate(results(run[0])["configs"][task]["metadata"]["dispersion"], schema())


def test_the_schema_refuses_what_a_record_is_not(run: tuple[Path, str]) -> None:
    good = results(run[0])["configs"]["dispersion_text"]["metadata"]["dispersion"]
    for key in good:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in good.items() if k != key}, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"token": "x"}, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"definition": good["definition"] | {"version": 2}}, schema())


def test_a_corpus_record_says_what_was_measured_and_how(run: tuple[Path, str], tiny_llama: Path) -> None:
    record = results(run[0])["configs"]["dispersion_text"]["metadata"]["dispersion"]
    assert record["definition"]["kind"] == "corpus" and record["definition"]["window"] == 512
    assert record["corpus"]["name"] == "tickets"
    assert record["corpus"]["selection"] == {"field": "body", "max_documents": 20, "seed": 3}
    assert record["plugin_version"] == __version__
    assert record["engine"]["name"] == "hf" and record["engine"]["dtype"] == "float32"
    config = json.loads((tiny_llama / "config.json").read_text())
    model = record["model"]
    assert model["model_type"] == "llama" and model["quantisation"] is None
    assert (model["layers"], model["hidden_size"]) == (config["num_hidden_layers"], config["hidden_size"])
    assert record["layers"] == [0, 1, 2]
    assert record["counts"]["documents"] == 12
    for part in ("within", "across", "all_pairs", "correlation"):
        assert all(len(values) == 3 for values in record[part].values())


def test_a_prompt_record_says_so(run: tuple[Path, str]) -> None:
    record = results(run[0])["configs"]["dispersion_demo_mmlu"]["metadata"]["dispersion"]
    assert record["definition"]["kind"] == "prompts" and record["definition"]["window"] is None
    assert record["correlation"] is None and record["all_pairs"] is None
    assert record["counts"]["segments"] == 12 and record["within"]["n"] == [12] * 3


def test_logged_samples_carry_dispersion_by_layer_log_likelihood_and_tokens(run: tuple[Path, str]) -> None:
    for sample in samples(run[0], "dispersion_text"):
        logged: dict[str, Any] = sample["dispersion"]
        assert len(logged["layers"]) == 3 and logged["within"] == logged["layers"][-1]
        assert logged["tokens"] == sum(w["tokens"] for w in logged["windows"])
        assert str(logged["loglikelihood"])[:8] == sample["resps"][0][0][:8]
    for sample in samples(run[0], "dispersion_demo_mmlu"):
        assert len(sample["dispersion"]["layers"]) == 3 and sample["dispersion"]["tokens"] > 10


def test_a_token_among_the_model_arguments_is_warned_of_and_not_copied_by_us(run: tuple[Path, str]) -> None:
    output, stderr = run
    (warning,) = [line for line in stderr.splitlines() if "lm_eval writes model arguments" in line]
    assert "token" in warning and "HF_TOKEN" in warning and TOKEN not in warning
    found = results(output)
    assert TOKEN in json.dumps(found["config"])  # lm_eval's own leak, which is not ours to change
    for config in found["configs"].values():
        assert TOKEN not in json.dumps(config)
    assert "private-" not in json.dumps(found["configs"])  # nor where the user's text lies


def test_the_corpus_hash_names_the_text_and_not_its_order(tiny_llama: Path, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=str(tiny_llama), device="cpu")
    texts = [f"Document number {i} of a corpus." for i in range(6)]

    def corpus_hash(name: str, rows: list[str]) -> str:
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
        manager = task_manager(Path(tasks_folder()), metadata={"dispersion": {"text": str(file)}})
        found = simple_evaluate(model=lm, tasks=["dispersion_text"], task_manager=manager)
        return str(found["configs"]["dispersion_text"]["metadata"]["dispersion"]["corpus"]["hash"])

    same = corpus_hash("a", texts)
    assert corpus_hash("b", texts[::-1]) == same
    assert corpus_hash("c", texts[:-1]) != same
    assert corpus_hash("d", [*texts[:-1], texts[-1] + "!"]) != same
    assert corpus_hash("e", [*texts, texts[0]]) != same
