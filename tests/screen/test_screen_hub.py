"""Checkpoints on the Hub, through the real client, from a stand-in that counts what it sends."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import save_output
from hub import WRITER, Hub
from huggingface_hub import constants

from lm_eval_dispersion.screen import Unscreenable, check_sets, screen

SETS = check_sets(["digits", "python"])


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """An output matrix of 33 MB, of which few rows are needed."""
    drawn = torch.randn(2048, 4096, generator=torch.Generator().manual_seed(1))
    return save_output(tmp_path_factory.mktemp("wide"), tiny, {"lm_head.weight": drawn, "other": torch.zeros(3, 9)})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server asks to be waited for is not."""
    monkeypatch.setattr("lm_eval_dispersion.screen._hub.time.sleep", lambda seconds: None)


def test_rows_come_by_ranges_and_are_those_of_the_folder(hub: Hub, wide: Path) -> None:
    repository = hub.add_model("org/wide", wide)
    here, there = screen(str(wide), SETS), screen("org/wide", SETS)
    assert here.read_hash == there.read_hash
    assert {name: score.gap for name, score in here.scores.items()} == {n: s.gap for n, s in there.scores.items()}
    assert there.checkpoint.revision == repository.head.oid
    assert there.meter.bytes == hub.sent < (wide / "model.safetensors").stat().st_size
    assert there.meter.requests < len(hub.asked) + 1


def test_a_revision_and_a_file_are_named_behind_the_model(hub: Hub, wide: Path, tiny: Path) -> None:
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    first = hub.add_model("org/model", files).head.oid
    hub.repositories["models/org/model"].change("newer", {"model.safetensors": b"not one"})
    assert screen(f"org/model@{first}", SETS).checkpoint.revision == first
    assert screen(f"org/model@{first}/model.safetensors", SETS).checkpoint.file == "model.safetensors"
    with pytest.raises(Unscreenable, match="truncated"):
        screen("org/model", SETS)
    with pytest.raises(Unscreenable, match="no such revision"):
        screen("org/model@nowhere", SETS)
    with pytest.raises(Unscreenable, match=r"it has no file x\.gguf"):
        screen("org/model/x.gguf", SETS)


def test_a_server_without_ranges_is_not_listened_to(hub: Hub, wide: Path) -> None:
    hub.add_model("org/wide", wide)
    hub.ranges = False
    with pytest.raises(Unscreenable, match="sends no ranges"):
        screen("org/wide", SETS)
    assert hub.sent < 0.5 * (wide / "model.safetensors").stat().st_size


def test_a_gated_model_says_where_to_ask(hub: Hub, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_model("shut/model", tiny, gated="manual")
    with pytest.raises(Unscreenable, match=r"gated: ask for access at its page, https://huggingface.co/shut/model"):
        screen("shut/model", SETS)
    hub.repositories["models/shut/model"].readers.add(WRITER)
    assert screen("shut/model", SETS).scores


def test_no_such_model(hub: Hub) -> None:
    with pytest.raises(Unscreenable, match="no such model on the Hub"):
        screen("org/nothing", SETS)
    with pytest.raises(Unscreenable, match=r"nor is it the name of a model on the Hub \(ORG/MODEL\)"):
        screen("/no/such/folder", SETS)


def test_a_pickle_is_not_even_asked_for(hub: Hub, tiny: Path) -> None:
    files = {file.name: file.read_bytes() for file in tiny.iterdir() if file.suffix == ".json"}
    hub.add_model("org/old", files | {"pytorch_model.bin": b"cos\nsystem\n(S'true'\ntR."})
    with pytest.raises(Unscreenable, match=r"pickled \(pytorch_model.bin\)"):
        screen("org/old", SETS)
    assert "pytorch_model.bin" not in {what for _, _, what in hub.asked}


def test_a_file_that_is_shorter_than_the_hub_says_is_truncated(hub: Hub, tiny: Path) -> None:
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    whole = files["model.safetensors"]
    hub.add_model("org/cut", files | {"model.safetensors": whole[:5000]}, lies={"model.safetensors": len(whole)})
    with pytest.raises(Unscreenable, match=r"model.safetensors is truncated"):
        screen("org/cut", SETS)


def test_what_passes_is_waited_out_and_what_does_not_is_told(hub: Hub, tiny: Path) -> None:
    hub.add_model("org/model", tiny)
    whole = screen("org/model", SETS)
    hub.fail("resolve", 503, times=2)
    hub.fail("resolve", after=3, times=1)
    hub.fail("resolve", 429, headers={"Retry-After": "7"})
    assert screen("org/model", SETS).read_hash == whole.read_hash
    hub.fail("resolve", 500, times=100)
    with pytest.raises(Unscreenable, match="the Hub answers 500"):
        screen("org/model", SETS)


def test_with_the_hub_switched_off_the_cache_is_read(
    hub: Hub, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import snapshot_download

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    hub.add_model("org/model", tiny)
    online = screen("org/model", SETS)
    snapshot_download("org/model")
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert screen("org/model", SETS).read_hash == online.read_hash
    with pytest.raises(Unscreenable, match=r"not in the cache, and the Hub is switched off"):
        screen("org/other", SETS)
    assert len(hub.asked) == asked


def test_sharded_files_are_read_where_the_output_matrix_is(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).save_pretrained(tmp_path, max_shard_size="100KB")
    shutil.copy(tiny / "tokenizer.json", tmp_path)
    hub.add_model("org/sharded", tmp_path)
    found = screen("org/sharded", SETS)
    assert found.read_hash == screen(str(tiny), SETS).read_hash
    asked = {what for _, _, what in hub.asked if what.endswith(".safetensors")}
    assert asked == {found.checkpoint.matrix.file.name}
    assert np.isclose(found.checkpoint.size, sum(file.stat().st_size for file in tmp_path.glob("*.safetensors")))
