"""Which models may be evaluated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispersion_leaderboard.admission import Refused, Unreachable, inspect, inspect_folder
from dispersion_leaderboard.requests import Reason
from hostile import EMPTY, IDS, auto_map, cases, code, config, harmless, model_hub, pickled, sharded
from hub import WRITER, Hub

NAME = "org/model"
CASES = cases(Path("marker"))
FOLDERS = {what: case for what, case in CASES.items() if not case.told}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with model_hub(monkeypatch, tmp_path / "home") as hub:
        yield hub


def refused(model: str = NAME, revision: str | None = None, gguf_file: str = "") -> Refused:
    with pytest.raises(Refused) as caught:
        inspect(model, revision, largest=10**9, gguf_file=gguf_file)
    assert "\n" not in caught.value.detail
    return caught.value


def test_a_model_is_admitted_at_its_commit_with_the_files_that_would_be_fetched(hub: Hub, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    beside = {"pytorch_model.bin": pickled(marker), "modeling_evil.py": code(marker), "original/a.json": b"{}"}
    made = hub.add_model(NAME, harmless(chat_template__jinja=b"x", merges__txt=b"a b") | beside)
    found = inspect(NAME, "main", largest=10**9)
    assert found.sha == made.head.oid
    assert sorted(found.files) == [
        "chat_template.jinja", "config.json", "merges.txt", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert found.bytes == sum(len(made.files[name]) for name in found.files)
    assert {what for key, _, what in hub.asked if key == f"models/{NAME}"} == {"revision", "config.json"}


def test_a_model_that_is_asked_for_by_an_old_name_is_known_by_its_own(hub: Hub) -> None:
    hub.add_model(NAME, harmless())
    hub.fail("info", 307, headers={"Location": f"{hub.url}/api/models/{NAME}?blobs=true"})
    assert inspect("org/old", None, largest=10**9).name == NAME


def test_a_model_whose_type_transformers_knows_is_admitted_although_it_brings_code(hub: Hub) -> None:
    hub.add_model(NAME, harmless(config__json=config(auto_map=auto_map())) | {"modeling_evil.py": b"raise"})
    assert "modeling_evil.py" not in inspect(NAME, None, largest=10**9).files


def test_a_model_of_text_and_images_is_admitted_for_its_text(hub: Hub) -> None:
    of_both = config(model_type="qwen3_5", architectures=["Qwen3_5ForConditionalGeneration"])
    hub.add_model(NAME, harmless(config__json=of_both))
    assert inspect(NAME, None, largest=10**9).files


def test_all_shards_of_a_model_are_fetched_and_no_other_weights(hub: Hub) -> None:
    shards = {"a-1.safetensors": EMPTY, "a-2.safetensors": EMPTY, "consolidated.safetensors": EMPTY}
    hub.add_model(NAME, sharded("a-1.safetensors", "a-2.safetensors", "a-1.safetensors", **shards))
    weights = [name for name in inspect(NAME, None, largest=10**9).files if name.endswith(".safetensors")]
    assert weights == ["a-1.safetensors", "a-2.safetensors"]


@pytest.mark.parametrize("what", [what for what, case in CASES.items() if not case.folder_only])
def test_a_hostile_model_is_refused_with_its_reason(hub: Hub, what: str) -> None:
    case = CASES[what]
    made = hub.add_model(NAME, case.files, **case.told)
    found = refused()
    assert (found.reason, found.sha) == (case.reason, made.head.oid)
    assert case.says in found.detail


@pytest.mark.parametrize("what", FOLDERS)
def test_a_hostile_folder_is_refused_with_its_reason(tmp_path: Path, what: str) -> None:
    for name, content in FOLDERS[what].files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused) as caught:
        inspect_folder(tmp_path, largest=10**9)
    assert caught.value.reason is FOLDERS[what].reason
    assert FOLDERS[what].says in caught.value.detail


@pytest.mark.parametrize("name", IDS)
def test_what_is_no_model_id_is_refused_without_a_question_to_the_hub(hub: Hub, name: str) -> None:
    found = refused(name)
    assert (found.reason, found.sha) == (Reason.NOT_FOUND, None)
    assert hub.asked == []


def test_models_that_are_not_there_or_not_public_are_not_found(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_model(NAME, harmless())
    hub.add_model("org/private", harmless(), private=True)
    for model, revision in (("org/none", None), (NAME, "none"), (NAME, "f" * 40), ("org/private", None)):
        found = refused(model, revision)
        assert (found.reason, found.sha) == (Reason.NOT_FOUND, None), model
    monkeypatch.delenv("HF_TOKEN")
    assert refused("org/private").reason is Reason.NOT_FOUND
    assert refused("org/none").reason is Reason.NOT_FOUND


def test_a_size_that_the_hub_does_not_tell_counts_as_too_large(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub._content import Commit

    hub.add_model(NAME, harmless())
    told = Commit.siblings
    monkeypatch.setattr(
        Commit,
        "siblings",
        lambda self, sizes: (
            {"rfilename": one["rfilename"]} if one["rfilename"] == "tokenizer.json" else one
            for one in told(self, sizes)
        ),
    )
    found = refused()
    assert found.reason is Reason.TOO_LARGE
    assert "tokenizer.json" in found.detail


def test_of_gguf_files_the_only_one_or_the_named_one_is_taken(hub: Hub) -> None:
    hub.add_model(NAME, {"a.gguf": b"GGUF"})
    assert inspect(NAME, None, largest=100).gguf_file == "a.gguf"
    hub.add_model(NAME, {"a.gguf": b"GGUF", "b.gguf": b"GGUF", "sub/c.gguf": b"GGUF", "README.md": b""})
    found = refused()
    assert found.reason is Reason.NOT_FOUND
    assert "--gguf-file" in found.detail
    named = inspect(NAME, None, largest=100, gguf_file="b.gguf")
    assert (named.gguf_file, dict(named.files)) == ("b.gguf", {"b.gguf": 4})
    assert "--gguf-file" in refused(gguf_file="d.gguf").detail
    assert refused(gguf_file="sub/c.gguf").reason is Reason.NOT_FOUND
    hub.add_model(NAME, {"sub/c.gguf": b"GGUF"})
    assert "sub/c.gguf" in refused().detail


def test_an_unreachable_hub_is_no_verdict_on_the_model(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    made = hub.add_model(NAME, harmless())
    for endpoint in ("info", "resolve"):
        for status in (0, 403, 429, 500, 503):
            hub.fail(endpoint, status)
            with pytest.raises(Unreachable, match=NAME):
                inspect(NAME, None, largest=10**9)
    there = f"{hub.url}/{NAME}/resolve/{made.head.oid}/config.json"
    hub.fail("resolve", 307, headers={"Location": there}, times=50)
    with pytest.raises(Unreachable, match="redirect"):
        inspect(NAME, None, largest=10**9)
    hub.faults.clear()
    monkeypatch.setenv("HF_TOKEN", f"not-{WRITER}")
    with pytest.raises(Unreachable):
        inspect(NAME, None, largest=10**9)


def test_a_folder_is_known_by_the_content_of_what_is_used_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in harmless().items():
        (folder / name).write_bytes(content)
    found = inspect_folder(folder, largest=10**9)
    assert (found.name, len(found.sha), len(found.files)) == ("mine", 64, 3)
    (folder / "notes.md").write_text("not used")
    (folder / "model.py").write_text("raise SystemExit")
    assert inspect_folder(folder, largest=10**9) == found
    (folder / "tokenizer.json").write_text("[]")
    assert inspect_folder(folder, largest=10**9).sha != found.sha
    with pytest.raises(Refused) as caught:
        inspect_folder(folder, largest=10)
    assert caught.value.reason is Reason.TOO_LARGE
    for none in (tmp_path / "none", folder / "config.json", Path("/a\0b")):
        with pytest.raises(Refused, match="cannot read the folder"):
            inspect_folder(none, largest=10)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_link_out_of_a_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for file, content in harmless().items():
        (folder / file).write_bytes(content)
    (folder / name).rename(tmp_path / "secret")
    (folder / name).symlink_to("../secret")
    with pytest.raises(Refused, match=name) as caught:
        inspect_folder(folder, largest=10**9)
    assert caught.value.reason is Reason.UNSAFE_WEIGHTS


def test_what_transformers_knows_is_known_without_importing_it() -> None:
    ours = (
        "import json, sys; from dispersion_leaderboard.admission import _architectures as a; "
        "t = 'modeling_auto.py'; "
        "c, s = 'MODEL_FOR_CAUSAL_LM_MAPPING_NAMES', 'MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES'; "
        "print(json.dumps([sorted(a._known()), a._table(t, c), a._table(t, s), "
        "sorted({'torch', 'transformers'} & sys.modules.keys())]))"
    )
    known, causal, encoders, imported = json.loads(subprocess.check_output([sys.executable, "-c", ours]))
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    assert imported == []
    assert known == sorted(CONFIG_MAPPING_NAMES)
    assert causal == dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert encoders == dict(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
