"""Models on the stand-in of the Hub, seen through the real clients."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hub import WRITER, Hub
from huggingface_hub import HfApi, get_session
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

CARD = b"---\nlicense: mit\ntags: [tiny]\nbase_model: org/base\n---\nA model.\n"
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 9}


def weights(**shapes: list[int]) -> bytes:
    """A safetensors file of zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + bytes(end)


FILES = {
    "README.md": CARD,
    "config.json": json.dumps(CONFIG).encode(),
    "model.safetensors": weights(a=[3, 5], b=[7]),
    "sub/notes.txt": b"x",
}


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def test_a_model_is_described_by_what_its_files_say(hub: Hub, api: HfApi) -> None:
    sha = hub.add_model("org/m", FILES, tags=("extra",)).head.oid
    info = api.model_info("org/m", files_metadata=True)
    assert (info.sha, info.author, info.gated, info.private) == (sha, "org", False, False)
    assert info.safetensors is not None
    assert (info.safetensors.parameters, info.safetensors.total) == ({"F32": 22}, 22)
    assert info.config == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    assert {"transformers", "safetensors", "llama", "text-generation", "tiny", "license:mit", "extra"} <= set(info.tags)
    siblings = {file.rfilename: file for file in info.siblings or ()}
    assert {path: file.size for path, file in siblings.items()} == {path: len(FILES[path]) for path in FILES}
    assert siblings["config.json"].lfs is None
    assert siblings["model.safetensors"].lfs.size == len(FILES["model.safetensors"])
    assert api.model_info("org/m", revision=sha).siblings[0].size is None
    assert api.model_info("org/m", expand=["sha"]).siblings is None
    hub.repositories["models/org/m"].change("later", {"config.json": b"{}"})
    hub.repositories["models/org/m"].refs["v1.0"] = sha
    assert api.model_info("org/m", revision="v1.0").sha == sha != api.model_info("org/m").sha
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("org/none")


def test_shards_are_counted_together_and_what_only_looks_like_weights_is_not(hub: Hub, api: HfApi) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    shards = {"model-1.safetensors": weights(a=[4]), "model-2.safetensors": weights(b=[5])}
    hub.add_model("org/sharded", shards | {"model.safetensors.index.json": index, "other.safetensors": weights(c=[1])})
    hub.add_model("org/false", {"model.safetensors": b"not weights at all", "config.json": b"[]"})
    assert api.model_info("org/sharded").safetensors.total == 9
    assert api.model_info("org/false").safetensors is None


def test_a_snapshot_holds_what_matches(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    sha = hub.add_model("org/m", FILES).head.oid
    hub.repositories["models/org/m"].change("later", {"config.json": b"{}"})
    folder = Path(
        api.snapshot_download("org/m", revision=sha, allow_patterns=["*.json", "*.safetensors"], cache_dir=tmp_path)
    )
    assert folder.name == sha
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert found == {path: FILES[path] for path in ("config.json", "model.safetensors")}
    assert Path(api.hf_hub_download("org/m", "config.json", cache_dir=tmp_path)).read_bytes() == b"{}"


def test_a_folder_is_served_from_disk_and_ranges_of_its_files_are(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000
    (tmp_path / "model/sub").mkdir(parents=True)
    (tmp_path / "model/sub/model.bin").write_bytes(content)
    (tmp_path / "model/config.json").write_bytes(b"{}")
    hub.add_model("org/m", tmp_path / "model")
    fetched = api.hf_hub_download("org/m", "sub/model.bin", cache_dir=tmp_path / "cache")
    assert Path(fetched).read_bytes() == content
    url = f"{hub.url}/org/m/resolve/main/sub/model.bin"
    for asked, status, part in (
        ("bytes=5-9", 206, content[5:10]),
        (f"bytes={len(content) - 3}-", 206, content[-3:]),
        ("bytes=-4", 206, content[-4:]),
        (f"bytes={len(content)}-", 416, b""),
    ):
        answer = get_session().get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (status, part)


def test_a_download_that_was_cut_goes_on_where_it_ended(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000
    (tmp_path / "weights").write_bytes(content)
    hub.add_model("org/m", {"model.bin": tmp_path / "weights"})
    hub.fail("resolve", after=1_000_000)
    assert Path(api.hf_hub_download("org/m", "model.bin", local_dir=tmp_path)).read_bytes() == content
    assert not hub.faults
    assert [what for _, _, what in hub.asked].count("model.bin") == 3  # about it, a part of it, and the rest


def test_files_of_a_gated_model_go_to_those_who_were_let_in_and_its_description_to_all(
    hub: Hub, api: HfApi, tmp_path: Path
) -> None:
    model = hub.add_model("other/m", FILES, gated="manual")
    hub.tokens["hf_reader"] = frozenset()
    assert api.model_info("other/m").gated == "manual"
    for token, status in (("hf_reader", 403), (False, 401)):
        with pytest.raises(GatedRepoError) as refused:
            api.hf_hub_download("other/m", "config.json", token=token, cache_dir=tmp_path)
        assert refused.value.response.status_code == status
    model.readers.add("hf_reader")
    assert api.hf_hub_download("other/m", "config.json", token="hf_reader", cache_dir=tmp_path)


def test_a_size_may_be_a_lie(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.add_model("org/m", FILES, lies={"model.safetensors": 3})
    info = api.model_info("org/m", files_metadata=True)
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    assert sizes["model.safetensors"] == 3
    # The client looks at what comes, not at what was told.
    assert Path(api.hf_hub_download("org/m", "model.safetensors", cache_dir=tmp_path)).stat().st_size > 3


def test_models_are_found_by_what_they_are(hub: Hub, api: HfApi) -> None:
    for number in range(5):
        hub.add_model(
            f"org/m-{number}",
            FILES | {"model.safetensors": weights(a=[1000 * number + 1])},
            downloads=(7 * number) % 5,
            created=datetime(2026, 1, 5 - number, tzinfo=timezone.utc),
            gated="auto" if number == 4 else False,
        )
    hub.add_model("else/Case", {}, tags=("tiny", "rare"), pipeline_tag="fill-mask", downloads=9)
    hub.add_model("org/hidden", FILES, private=True)
    hub.page = 2

    def names(**asked: object) -> list[str]:
        return [model.id for model in api.list_models(**asked)]

    assert len(names()) == 6
    assert names(author="else") == names(search="cAs") == names(pipeline_tag="fill-mask") == ["else/Case"]
    assert names(filter=["tiny", "rare"]) == ["else/Case"]
    assert names(author="org", sort="downloads") == ["org/m-2", "org/m-4", "org/m-1", "org/m-3", "org/m-0"]
    assert names(sort="created_at", author="org") == [f"org/m-{number}" for number in range(5)]
    assert names(sort="last_modified", author="org", limit=3) == ["org/m-0", "org/m-1", "org/m-2"]
    assert names(author="org", gated=True) == ["org/m-4"]
    assert names(num_parameters="min:1K,max:3K", sort="created_at") == ["org/m-1", "org/m-2"]
    assert names(search="hidden", token=WRITER) == ["org/hidden"]
    full = next(iter(api.list_models(search="m-3", full=True, cardData=True, fetch_config=True)))
    assert (full.sha, full.gated, full.card_data.license) == (hub.repositories["models/org/m-3"].head.oid, False, "mit")
    with pytest.raises(HfHubHTTPError, match="does not know apps"):
        names(apps="vllm")


def test_a_model_can_be_written_too(hub: Hub, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.url, token=WRITER)
    assert str(api.create_repo("org/new")) == f"{hub.url}/org/new"
    hub.page = 1
    api.upload_file(path_or_fileobj=b"PK", path_in_repo="a.zip", repo_id="org/new")
    assert hub.repositories["models/org/new"].files["a.zip"] == b"PK"


LOAD = """
import sys
from transformers import AutoConfig, AutoModelForCausalLM
name, sha = sys.argv[1:]
print(AutoConfig.from_pretrained(name, revision=sha).hidden_size)
print(AutoModelForCausalLM.from_pretrained(name, revision=sha).num_parameters())
"""


def test_transformers_loads_a_model_by_its_name_and_commit(hub: Hub, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=32
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "model")
    sha = hub.add_model("org/tiny", tmp_path / "model").head.oid
    hub.repositories["models/org/tiny"].change("broken since", {"config.json": b"{"})
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, "org/tiny", sha],
        env=environment | hub.environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["16", str(model.num_parameters())]
