"""A tiny model in a folder, for all tests of ``screen``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from checkpoints import Rows, output_rows, texts
from models import save_tiny_llama


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
    from lm_eval_dispersion.screen import check_sets

    return check_sets(["digits", "python", "medical", "law"])


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory, tiny: Path, tiny_rows: Rows) -> Path:
    """The tiny model's output matrix and tokens in GGUF, as ``gguf`` writes them."""
    import gguf

    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    vocabulary = json.loads((tiny / "tokenizer.json").read_text())["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_types([3 if token == "<|endoftext|>" else 1 for token in tokens])
    writer.add_token_merges(["a b"] * 50)
    writer.add_tensor("token_embd.weight", tiny_rows.astype(np.float32))
    writer.add_tensor("output.weight", tiny_rows.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
