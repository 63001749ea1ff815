"""Model repositories that mean harm, for a stand-in of the Hub. Whatever runs their code leaves a marker file."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dispersion_leaderboard.requests import Reason
from hub import Hub
from hub_fixtures import loopback

IDS = (
    "../../etc",
    "org/../../etc",
    "/etc/passwd",
    "org/name;rm",
    "org/na me",
    "org/name\n",
    "org/name,trust_remote_code=True",
    "https://example.org/org/name",
    "org/name@main",
    "org",
    "",
    "org/" + "a" * 500,
)
"""What no model is called."""

EMPTY = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without tensors."""
LLAMA: Mapping[str, Any] = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
HOSTILE_TEMPLATES = {
    "escape": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "import": "{{ cycler.__init__.__globals__.os.system('touch MARKER') }}",
    "endless": "{% for i in range(999999999999) %}x{% endfor %}",
}
"""For a ``chat_template``; MARKER stands for the marker file's path."""


def config(**changes: Any) -> bytes:
    """A ``config.json`` like a harmless model's; None leaves a key out."""
    return json.dumps({key: value for key, value in {**LLAMA, **changes}.items() if value is not None}).encode()


def harmless(**changes: bytes | None) -> dict[str, bytes]:
    """A model that is admitted, with some files changed or (None) left out; ``__`` stands for the point."""
    files: dict[str, bytes | None] = {"config.json": config(), "model.safetensors": EMPTY, "tokenizer.json": b"{}"}
    files |= {name.replace("__", "."): content for name, content in changes.items()}
    return {name: content for name, content in files.items() if content is not None}


def pickled(marker: Path) -> bytes:
    """Runs when it is unpickled."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    return pickle.dumps(Trap())


def code(marker: Path) -> bytes:
    """A module that runs when it is imported."""
    return f"from pathlib import Path\nPath({str(marker)!r}).touch()\nclass Evil: ...\n".encode()


def auto_map(module: str = "modeling_evil") -> dict[str, str]:
    return {"AutoConfig": f"{module}.Evil", "AutoModelForCausalLM": f"{module}.Evil"}


def index(*shards: object) -> bytes:
    return json.dumps({"weight_map": {f"layer.{n}": shard for n, shard in enumerate(shards)}}).encode()


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def sharded(*shards: object, **files: bytes) -> dict[str, bytes]:
    return harmless(model__safetensors=None) | {"model.safetensors.index.json": index(*shards)} | files


@dataclass(frozen=True)
class Case:
    """A repository, and why it is refused."""

    files: Mapping[str, bytes]
    reason: Reason
    says: str
    told: Mapping[str, Any] = field(default_factory=dict)
    """More for ``Hub.add_model``."""
    folder_only: bool = False
    """Whether the stand-in, which reads configurations as the Hub does, cannot hold it."""


def cases(marker: Path) -> dict[str, Case]:
    """By what is wrong with them."""
    no, unsafe, remote = Reason.NOT_CAUSAL_LM, Reason.UNSAFE_WEIGHTS, Reason.REMOTE_CODE
    trap, evil = pickled(marker), code(marker)
    found = {
        f"pickle only, {name}": Case(harmless(model__safetensors=None) | {name: trap}, unsafe, "may run code")
        for name in ("pytorch_model.bin", "model.pt", "a.pth", "a.ckpt", "a.pkl", "tf_model.h5", "flax.msgpack")
    }
    found |= {
        f"index with {name}": Case(sharded(name, **{"pytorch_model.bin": trap}), unsafe, "no safetensors file beside")
        for name in ("../../escape.safetensors", "/etc/a.safetensors", "sub/a.safetensors", "pytorch_model.bin", 7)
    }
    own = config(model_type="evil", architectures=["Evil"], auto_map=auto_map())
    kernel = config(attn_implementation="evil/kernel")
    deep = config(text_config={"_attn_implementation": "evil/kernel@main"})
    huge = 4 * 10**12 + len(config()) + len(b"{}")
    return found | {
        "index with a missing shard": Case(sharded("a.safetensors"), Reason.NOT_FOUND, "a.safetensors"),
        "index with a pickle beside whole weights": Case(
            sharded("pytorch_model.bin", **{"pytorch_model.bin": trap, "model.safetensors": EMPTY}),
            unsafe,
            "no safetensors file beside",
        ),
        "index without names": Case(sharded(), unsafe, "names no files"),
        "safetensors under another name": Case(
            harmless(model__safetensors=None) | {"consolidated.safetensors": EMPTY, "pytorch_model.bin": trap},
            unsafe,
            "may run code",
        ),
        "weights named by the configuration": Case(
            harmless(config__json=config(transformers_weights="other.safetensors")), unsafe, "transformers_weights"
        ),
        "its own code": Case(harmless(config__json=own) | {"modeling_evil.py": evil}, remote, "evil"),
        "a kernel from elsewhere": Case(harmless(config__json=kernel), remote, "evil/kernel"),
        "a kernel from elsewhere, nested": Case(harmless(config__json=deep), remote, "evil/kernel"),
        "an adapter": Case(
            harmless() | {"adapter_config.json": b'{"base_model_name_or_path": "evil/pickle"}'}, no, "adapter"
        ),
        "encoder and decoder": Case(
            harmless(config__json=config(model_type="t5", architectures=["T5ForConditionalGeneration"])), no, "encoder"
        ),
        "no language model": Case(
            harmless(config__json=config(model_type="bert", architectures=["BertForMaskedLM"])), no, "BertForMaskedLM"
        ),
        "an encoder with the head of a language model": Case(
            harmless(config__json=config(model_type="bert", architectures=["BertLMHeadModel"])), no, "reads both ways"
        ),
        "attention to what comes later": Case(harmless(config__json=config(is_causal=False)), no, "is_causal: false"),
        "no architecture": Case(harmless(config__json=config(architectures=None)), no, "no architecture"),
        "no model type": Case(harmless(config__json=config(model_type=None)), no, "no model_type"),
        "types that are no text": Case(
            harmless(config__json=config(model_type=["llama"])), no, "no model_type", folder_only=True
        ),
        "no configuration": Case(harmless(config__json=None), no, "no config.json"),
        "a huge configuration": Case(harmless(config__json=b"[" + b" " * 10**7 + b"]"), no, "more than"),
        "a huge configuration that is told as small": Case(
            harmless(config__json=b"[" + b" " * 10**7 + b"]"), no, "more than", {"lies": {"config.json": 100}}
        ),
        "a deep configuration": Case(harmless(config__json=nested(100_000)), no, "not JSON", folder_only=True),
        "a configuration that is none": Case(harmless(config__json=b"\xff{"), no, "not JSON"),
        "a configuration that is a list": Case(harmless(config__json=b"[]"), no, "no mapping"),
        "gated": Case(harmless(), Reason.GATED, "lets in", {"gated": "manual"}),
        "too large": Case(
            harmless(),
            Reason.TOO_LARGE,
            f"{huge} bytes; at most 1000000000",
            {"lies": {"model.safetensors": 4 * 10**12}},
        ),
        "no weights": Case(harmless(model__safetensors=None), no, "neither"),
    }


@contextmanager
def model_hub(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Hub]:
    """A stand-in that this process and those that it starts ask."""
    with loopback(monkeypatch) as hub:
        for key, value in hub.environment(home).items():
            monkeypatch.setenv(key, value)
        yield hub
