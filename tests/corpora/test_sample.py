"""The corpora from the hub: a fixed sample by default, another on request, and the same for everyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hub import Hub

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora import hub_files, hub_split, selection
from lm_eval_dispersion.corpora._sample import sampled

ROWS = Dataset.from_dict({"text": [str(i) for i in range(200)]})
DRAWN = ["53", "61", "101", "125", "166"]


def test_a_seed_draws_the_same_documents_everywhere() -> None:
    """Numpy does not promise that its generators stay as they are; published corpus hashes rest on it."""
    chosen = selection("news", {"max_documents": 5, "seed": 0})
    assert list(sampled(ROWS, chosen)["text"]) == DRAWN


@pytest.mark.parametrize(
    ("options", "default", "said"),
    [
        ({}, None, {}),
        ({}, 300, {"max_documents": 300, "seed": 0}),
        ({"seed": 3}, 300, {"max_documents": 300, "seed": 3}),
        ({"seed": 3}, None, {}),
        ({"max_documents": 5}, 300, {"max_documents": 5, "seed": 0}),
        ({"max_documents": "all", "seed": 3}, 300, {}),
        ({"max_documents": None}, 300, {"max_documents": 300, "seed": 0}),
    ],
)
def test_a_record_says_what_was_drawn(options: dict[str, Any], default: int | None, said: dict[str, int]) -> None:
    assert selection("news", options, default) == said


@pytest.mark.parametrize("options", [{"max_documents": v} for v in (0, -1, "10", "ALL", 2.5, True)] + [{"seed": -1}])
def test_what_is_no_number_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TaskError) as stop:
        selection("dispersion_news", options, 300)
    assert f"dispersion_news: {next(iter(options))} must be a whole number" in str(stop.value)


def test_files_of_the_hub_are_sampled(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    revision = "96df5e686bee6baa90b8bee7c28b81fa3fa6223d"
    hub.add_dataset("org/news", {"1.0": {"test": ROWS, "train": ROWS}}, revision)
    corpus: dict[str, Any] = {"repository": "org/news", "revision": revision, "files": "1.0/test-*.parquet"}
    few = hub_files(**corpus, max_documents=5, pretrained="ignored")["test"]
    assert few["text"] == DRAWN
    every = {"dispersion": {"max_documents": "all"}}
    assert hub_files(**corpus, max_documents=5, **every)["test"]["text"] == ROWS["text"]


def test_a_split_that_datasets_loads_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    (tmp_path / "news").mkdir()
    ROWS.to_json(tmp_path / "news" / "train.jsonl")
    corpus: dict[str, Any] = {"repository": str(tmp_path / "news"), "split": "train", "max_documents": 5}
    assert hub_split(**corpus)["test"]["text"] == DRAWN
    assert len(hub_split(**corpus, dispersion={"max_documents": 7, "seed": 1})["test"]) == 7
