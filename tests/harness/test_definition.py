"""One definition: what is asked for is measured, named in the record, and never mixed up with another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from reference import document_windows, profile
from stock import task_manager

from lm_eval_dispersion import Definition, measure
from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora import demo_news

TEXTS = demo_news()["test"]["text"][:4]


def record_of(lm: HFLM, folder: Path, **options: Any) -> dict[str, Any]:
    file = folder / "news.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    manager = task_manager(Path(tasks_folder()), metadata={"dispersion": {"text": str(file), **options}})
    found = simple_evaluate(model=lm, tasks=["dispersion_text"], task_manager=manager, bootstrap_iters=0)
    return dict(found["configs"]["dispersion_text"]["metadata"]["dispersion"])


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> HFLM:
    return HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32")


@pytest.mark.parametrize(("window", "least"), [(96, 64), (200, 30)])
def test_windows_are_cut_as_asked_for_and_the_record_says_so(
    window: int, least: int, lm: HFLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(lm, tmp_path, window=window, min_vectors=least)
    monkeypatch.setattr(reference, "WINDOW", window)
    documents = [document_windows(lm, text, {lm.eot_token_id}) for text in TEXTS]
    long = [h for windows in documents for h, _, _ in windows if h.shape[1] >= least]
    expected = np.mean([profile(h) for h in long], axis=0)
    np.testing.assert_allclose(record["within"]["mean"], expected, atol=1e-5)
    assert record["counts"]["segments"] == len(long)
    assert (record["definition"]["window"], record["definition"]["min_vectors"]) == (window, least)


def test_a_models_limit_is_the_window_that_the_record_names(tiny_llama: Path, lm: HFLM, tmp_path: Path) -> None:
    short = HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", max_length=96)
    one, other = record_of(short, tmp_path), record_of(lm, tmp_path)
    assert one["corpus"]["hash"] == other["corpus"]["hash"]
    assert (one["definition"]["window"], other["definition"]["window"]) == (96, 512)
    assert one["definition"] != other["definition"] and one["within"]["mean"] != other["within"]["mean"]
    assert one["definition"] == record_of(lm, tmp_path, window=96)["definition"]


@pytest.mark.parametrize(("layers", "shown"), [("last", [2]), ([0], [0, 2]), ([1, 0, 2], [0, 1, 2])])
def test_some_layers_are_those_of_all(layers: Any, shown: list[int], lm: HFLM, tmp_path: Path) -> None:
    everything, some = record_of(lm, tmp_path), record_of(lm, tmp_path, layers=layers)
    assert some["layers"] == shown and everything["layers"] == [0, 1, 2]
    for part, key in (("within", "mean"), ("within", "stderr"), ("across", "dispersion"), ("all_pairs", "dispersion")):
        expected = [everything[part][key][layer] for layer in shown]
        np.testing.assert_allclose(some[part][key], expected, atol=1e-6)
    found = measure(lm.model, lm.tokenizer, TEXTS, definition=Definition(layers=some["definition"]["layers"]))
    assert found.layers == shown
    np.testing.assert_allclose(found.within, some["within"]["mean"], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": 0}, "window must be a whole number"),
        ({"window": "512"}, "window must be a whole number"),
        ({"window": 64}, "no window of 64 tokens has 64 vectors"),
        ({"min_vectors": 1}, "min_vectors must be a whole number"),
        ({"layers": "first"}, '"all", "last" or a list'),
        ({"layers": []}, '"all", "last" or a list'),
        ({"layers": [True]}, '"all", "last" or a list'),
    ],
)
def test_a_definition_that_means_nothing_is_refused_in_one_line(
    options: dict[str, Any], said: str, lm: HFLM, tmp_path: Path
) -> None:
    with pytest.raises(TaskError) as refused:
        record_of(lm, tmp_path, **options)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_layer_that_the_model_has_not_is_refused_before_a_request(lm: HFLM, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"layer 7 was asked for; the model has h\[0\] to h\[2\]"):
        record_of(lm, tmp_path, layers=[0, 7])
