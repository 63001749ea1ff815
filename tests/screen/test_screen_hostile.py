"""Headers of strangers: whatever is in them, the answer is a number or one line, soon."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np
import pytest
from checkpoints import Rows

from lm_eval_dispersion.screen import Unscreenable, check_sets, screen

SETS = check_sets(["digits", "python"])


def survives(model: Path) -> str:
    """What is said, "" where it was screened after all."""
    begun = time.monotonic()
    try:
        screen(str(model), SETS)
        said = ""
    except Unscreenable as error:
        said = str(error)
    assert "\n" not in said and time.monotonic() - begun < 5
    return said


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory, tiny: Path, tiny_rows: Rows) -> Path:
    """The tiny model's output matrix and tokens in GGUF, as ``gguf`` writes them."""
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


def test_the_gguf_is_read_as_its_source(tiny_gguf: Path, tiny: Path) -> None:
    ours, theirs = screen(str(tiny_gguf), SETS), screen(str(tiny), SETS)
    assert (ours.checkpoint.matrix.tensor, ours.checkpoint.matrix.dtype) == ("output.weight", "F16")
    assert ours.checkpoint.vocabulary.hash == theirs.checkpoint.vocabulary.hash
    assert ours.scores["python"].tokens_hash == theirs.scores["python"].tokens_hash
    assert ours.scores["python"].gap == pytest.approx(theirs.scores["python"].gap, abs=1e-3)


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_quantised_rows_are_unpacked_as_whole_matrices_are(kind: str, tmp_path: Path, tiny_rows: Rows) -> None:
    from gguf.quants import dequantize, quantize

    from lm_eval_dispersion.screen._checkpoint import open_checkpoint
    from lm_eval_dispersion.screen._files import Meter

    packed = quantize(tiny_rows.astype(np.float32), gguf.GGMLQuantizationType[kind])
    file = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_token_list([f"t{i}" for i in range(2048)])
    writer.add_tensor("token_embd.weight", packed, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    matrix = open_checkpoint(str(file), Meter()).matrix
    ids = [0, 1, 5, 700, 2047]
    assert (matrix.dtype, matrix.rows, matrix.width) == (kind, 2048, 32)
    np.testing.assert_array_equal(matrix.read(ids), dequantize(packed, gguf.GGMLQuantizationType[kind])[ids])


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_damaged_headers(kind: str, tmp_path: Path, tiny: Path, tiny_gguf: Path) -> None:
    """Bytes of the header changed, put in, taken out, and the file cut, a hundred times."""
    drawn = Random(7)
    whole = tiny_gguf.read_bytes() if kind == "gguf" else (tiny / "model.safetensors").read_bytes()
    head = 90_000 if kind == "gguf" else 8 + int.from_bytes(whole[:8], "little")
    file = tmp_path / f"model.{kind}"
    (tmp_path / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
    told = set()
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(drawn.randint(1, 4)):
            at = min(int(drawn.paretovariate(0.3)), head) - 1  # mostly where the counts are
            match drawn.randrange(4):
                case 0:
                    data[at] = drawn.randrange(256)
                case 1:
                    data[at : at + 8] = struct.pack("<Q", drawn.choice([0, 1, 2**31, 2**40, 2**63, 2**64 - 1]))
                case 2:
                    del data[at : at + drawn.randint(1, 9)]
                case 3:
                    del data[drawn.randint(0, len(data)) :]
        file.write_bytes(data)
        told.add(survives(file).partition(" ")[0])
    assert len(told) > 1


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        f'{{"lm_head.weight": {nested(100_000)}}}'.encode(),
        b'{"lm_head.weight": {}}',
        b'{"lm_head.weight": {"dtype": "F32", "shape": [NaN, 2], "data_offsets": [0, 8]}}',
        b'{"lm_head.weight": {"dtype": "F32", "shape": [-2, -4], "data_offsets": [0, 32]}}',
        b'{"lm_head.weight": {"dtype": "F32", "shape": [true, 8], "data_offsets": [0, 32]}}',
        b'{"lm_head.weight": {"dtype": ["F32"], "shape": [1, 8], "data_offsets": [0, 32]}}',
        b'{"lm_head.weight": {"dtype": "F32", "shape": [0, 8], "data_offsets": [0, 0]}}',
        b'{"lm_head.weight": {"dtype": "F32", "shape": [1, 8], "data_offsets": [32, 0]}}',
        b'{"lm_head.weight": {"dtype": "F32", "shape": [' + b"9" * 5000 + b', 8], "data_offsets": [0, 32]}}',
        b'{"__metadata__": 3, "lm_head.weight": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]}}',
        b"\xff\xfe",
    ],
)
def test_lying_headers_of_safetensors(header: bytes, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(128))
    assert survives(tmp_path)


@pytest.mark.parametrize(
    "tokenizer",
    [
        {},
        {"model": {"vocab": 3}},
        {"model": {"vocab": {"a": -1}}},
        {"model": {"vocab": {"a": 1.5, "b": True}}},
        {"model": {"vocab": {"a": 2**70}}},
        {"model": {"vocab": [[], 3, ["a"], [None, 0.0]]}},
        {"model": {"vocab": {"\ud800": 1}}, "added_tokens": [3, {"id": "x"}, {"content": "y"}]},
        [1],
    ],
)
def test_broken_tokenizers(tokenizer: Any, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert survives(tmp_path)
