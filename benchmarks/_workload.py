"""The same model and the same windows for every comparison: SmolLM2-135M in float32, Wikipedia, batch size 1."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._real import save_float32

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.models.huggingface import HFLM

CACHE = Path(__file__).parent / ".cache"
WINDOW = 512


def model_folder() -> Path:
    """The model as float32 safetensors, made once: older transformers cannot read it from the GGUF file."""
    return save_float32("SmolLM2-135M-Instruct", CACHE / "SmolLM2-135M-float32")


@cache
def load() -> HFLM:
    """lm_eval's own model object; one a process."""
    from lm_eval.models.huggingface import HFLM

    folder = str(model_folder())
    return HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=1, max_length=WINDOW)


def windows(count: int) -> list[str]:
    """Texts of exactly 512 tokens each, from the articles of ``dispersion_demo_wiki`` in their order."""
    file = CACHE / "windows.json"
    if not file.is_file():
        CACHE.mkdir(exist_ok=True)
        file.write_text(json.dumps(_cut_windows()))
    texts: list[str] = json.loads(file.read_text())
    if count > len(texts):
        raise SystemExit(f"there are {len(texts)} windows of exactly {WINDOW} tokens, not {count}")
    return texts[:count]


def _cut_windows() -> list[str]:
    from transformers import AutoTokenizer

    from lm_eval_dispersion.corpora import demo_wiki

    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    texts = []
    for text in demo_wiki()["test"]["text"]:
        offsets = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
        for first in range(0, len(offsets) - WINDOW + 1, WINDOW):
            piece = text[offsets[first][0] : offsets[first + WINDOW - 1][1]]
            # A cut in the middle of a word may be tokenized otherwise on its own.
            if len(tokenizer(piece, add_special_tokens=False)["input_ids"]) == WINDOW:
                texts.append(piece)
    return texts


def task(config: dict[str, Any], rows: list[dict[str, Any]], record: bool) -> Task:
    """A task over rows with its requests built: lm_eval's own class, or ours on the same configuration."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    from lm_eval_dispersion import DispersionTask

    data = {"test": Dataset.from_list(rows)}
    common = {"task": "benchmark", "test_split": "test", "metadata": {"version": 1.0}}
    made: Any = (DispersionTask if record else ConfigurableTask)(
        config={**common, **config, "custom_dataset": lambda **_: data}
    )
    made.build_all_requests(rank=0, world_size=1)
    return made


def rolling(texts: list[str], record: bool) -> Task:
    """A corpus task, each document one window."""
    config = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}],
    }
    return task(config, [{"text": text} for text in texts], record)


def recorded(made: Task) -> dict[str, Any]:
    """The record a results file would hold for a task that has run."""
    record: dict[str, Any] = made.dump_config()["metadata"]["dispersion"]
    return record
