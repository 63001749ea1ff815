"""Which model a run is of, and what to call it among others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval_dispersion.runs import Run, plain

# Arguments that make another model of the same name; where and in what portions it ran do not, and none is a secret.
_TELLING = (
    "pretrained",
    "revision",
    "subfolder",
    "peft",
    "delta",
    "dtype",
    "autogptq",
    "gptqmodel",
    "load_in_4bit",
    "load_in_8bit",
    "quantization",
    "tokenizer",
    "add_bos_token",
    "prefix_token_id",
    "max_length",
    "max_model_len",
)

Identity = tuple[str, tuple[tuple[str, str], ...]]
"""A model's name and the arguments that tell it from others of that name."""


def identity(run: Run) -> Identity:
    """Equal for runs of one model."""
    config = run.content.get("config")
    given = _arguments(config.get("model_args") if isinstance(config, dict) else None)
    telling = ((key, str(given[key]).rstrip("/")) for key in _TELLING if given.get(key) is not None)
    return run.model.rstrip("/"), tuple(telling)


def _arguments(given: Any) -> dict[str, Any]:
    """A mapping, or ``a=b,c=d`` as earlier versions of lm_eval wrote it."""
    if isinstance(given, dict):
        return given
    pairs = (item.partition("=") for item in str(given or "").split(","))
    return {key.strip(): value for key, _, value in pairs}


def labels(models: Sequence[Identity]) -> list[str]:
    """As short as tells them apart: the last parts of a path or Hub id, and arguments that differ."""
    names = [name.split("/") for name, _ in models]
    different, parts = len({*map(tuple, names)}), 1
    while len({tuple(name[-parts:]) for name in names}) < different:
        parts += 1
    return [plain("/".join(name[-parts:]) + _told(one, models)) for name, one in zip(names, models, strict=True)]


def _told(one: Identity, models: Sequence[Identity]) -> str:
    namesakes = [dict(arguments) for name, arguments in models if name == one[0]]
    telling = [(k, v) for k, v in one[1] if any(other.get(k) != v for other in namesakes)]
    return f" ({', '.join(f'{key}={value}' for key, value in telling)})" if telling else ""
