"""The documentation names what there is, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import lm_eval.tasks
import numpy as np
import pytest
import torch

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion.corpora import TEXT_OPTIONS, demo_news

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
METRICS = {"dispersion_across", "dispersion_pearson", "dispersion_spearman"}
RECORDS = {"dispersion_screen"}
NAMES = re.compile(r"^(?:(?:task|group|tag):| +-) *[\"']?(\w+)[\"']?$", re.M)


@pytest.fixture(scope="module")
def tasks() -> set[str]:
    """What can be asked for: ours, and lm_eval's own with our prefix."""
    yaml = [file.read_text("utf-8") for file in Path(lm_eval.tasks.__path__[0]).rglob("*.yaml")]
    wrapped = {f"dispersion_{name}" for text in yaml for name in NAMES.findall(text)}
    return wrapped | {path.stem for path in Path(tasks_folder()).rglob("dispersion*.yaml")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_task_and_file_a_page_names_exists(page: Path, tasks: set[str]) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/-])dispersion_[a-z0-9_]+(?![\w*])", text))
    assert named <= tasks | METRICS | RECORDS
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target


def test_the_page_on_the_users_text_lists_every_option() -> None:
    page = (REPOSITORY / "docs" / "your-text.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \| ", page, re.M)) == TEXT_OPTIONS


def test_the_python_page_runs(tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    documents = [torch.randn(2, 3, 70, 8) for _ in range(4)]
    names: dict[str, object] = {
        "vectors": torch.randn(5, 9, 8),
        "hidden": torch.randn(5, 9, 8),
        "mask": torch.ones(5, 9, dtype=torch.bool),
        "model": AutoModelForCausalLM.from_pretrained(tiny_llama),
        "tokenizer": AutoTokenizer.from_pretrained(tiny_llama),
        "texts": demo_news()["test"]["text"][:3],
        "layers": 3,
        "documents": documents,
    }
    for block in re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "python.md").read_text(), re.S):
        exec(block, names)
    within, across = names["within"], names["across"]
    assert np.isfinite(within.mean).all() and np.isfinite(across.dispersion()[1]).all()  # type: ignore[attr-defined]
