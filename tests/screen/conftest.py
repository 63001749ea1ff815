"""A tiny model in a folder, for all tests of ``screen``."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import Rows, output_rows, texts
from models import save_tiny_llama

from lm_eval_dispersion.screen import check_sets


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 2,048 tokens with an output matrix of its own."""
    return save_tiny_llama(tmp_path_factory.mktemp("screened"), tie_word_embeddings=False)


@pytest.fixture(scope="session")
def tiny_rows(tiny: Path) -> Rows:
    return output_rows(tiny)


@pytest.fixture(scope="session")
def tiny_texts(tiny: Path) -> dict[int, str]:
    return texts(tiny)


@pytest.fixture(scope="session")
def shipped() -> dict[str, list[str] | None]:
    """The words of every built-in set."""
    return check_sets(["digits", "python", "medical", "law"])
