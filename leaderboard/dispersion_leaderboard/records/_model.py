"""Which model in which configuration a results file is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dispersion_leaderboard.records._clean import REDACTED, clean, is_absolute, last_part
from dispersion_leaderboard.records._values import mapping

# Model arguments that change no credential and no place, and that a reader needs to run a model again.
_SHOWN = frozenset(
    [
        "revision",
        "subfolder",
        "gguf_file",
        "peft",
        "delta",
        "autogptq",
        "gptqmodel",
        "load_in_4bit",
        "load_in_8bit",
        "quantization",
        "dtype",
        "tokenizer",
        "add_bos_token",
        "prefix_token_id",
        "max_length",
        "max_model_len",
        "softmax_dtype",
        "logits_cache",
        "trust_remote_code",
        "attn_implementation",
        "enable_thinking",
        "think_end_token",
        "parallelize",
        "tensor_parallel_size",
        "data_parallel_size",
        "pipeline_parallel_size",
        "gpu_memory_utilization",
        "max_num_batched_tokens",
        "max_num_seqs",
        "enforce_eager",
        "enable_prefix_caching",
        "truncation",
        "mixed_precision_dtype",
        "backend",
    ]
)
_NAMES = ("pretrained", "model", "path", "engine")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")

CONFIGURATION = (
    "model",
    "revision",
    "gguf_file",
    "peft",
    "dtype",
    "quantisation",
    "engine",
    "chat_template",
    "system_prompt",
)
"""Columns that make one entry of a board: a model, and how it was run."""


@dataclass(frozen=True)
class Model:
    """A model as it was run; every string is fit to be shown."""

    name: str
    """Hub id, or the last part of a local path; a GGUF file without a Hub id gives its own name."""
    on_hub: bool
    """Whether lm_eval found a commit of it on the Hub."""
    revision: str
    """The commit where lm_eval knew it, else what was asked for."""
    gguf_file: str
    peft: str
    dtype: str
    quantisation: str
    engine: str
    parameters: int | None
    tokenizer: str
    """``tokenizer=`` where given, else the recorded tokenizer's hash, else empty."""
    model_type: str
    arguments: tuple[tuple[str, str], ...]
    """The model arguments that may be shown, in order."""
    hidden_arguments: int
    """How many may not."""


def parse_arguments(given: object) -> dict[str, Any]:
    """``model_args`` of a results file: a mapping, or lm_eval's own ``a=b,c=d`` (lm_eval/utils.py)."""
    if isinstance(given, dict):
        return {str(key): value for key, value in given.items()}
    if not isinstance(given, str):
        return {}
    pairs = (item.partition("=") for item in given.split(",") if item)
    return {key.strip(): value for key, _, value in pairs}


def read_model(run: dict[str, Any], record: dict[str, Any]) -> Model:
    """The model of a run; ``record`` is any dispersion record of it, or empty."""
    config = mapping(run.get("config"))
    given = parse_arguments(config.get("model_args"))
    described, engine = mapping(record.get("model")), mapping(record.get("engine"))
    sha = clean(config.get("model_sha"))
    named_by = next((key for key in _NAMES if given.get(key)), "pretrained")
    raw = _text(given.get(named_by) or run.get("model_name")) or "?"
    gguf_file = _shown(given.get("gguf_file"))
    counted = (described.get("parameters"), config.get("model_num_parameters"))
    shown = {key: _shown(value) for key, value in given.items() if key in _SHOWN and _is_plain(value)}
    return Model(
        name=_public_name(raw, bool(sha), gguf_file),
        on_hub=bool(sha) and _HUB_ID.fullmatch(raw) is not None,
        revision=sha or clean(given.get("revision") or config.get("model_revision")),
        gguf_file=gguf_file,
        peft=_public_name(_text(given["peft"]), False, "") if given.get("peft") else "",
        dtype=clean(engine.get("dtype") or config.get("model_dtype") or given.get("dtype")).removeprefix("torch."),
        quantisation=clean(_quantisation(given, described)),
        engine=clean(config.get("model") or run.get("model_source")),
        parameters=next((count for count in counted if type(count) is int and 0 < count < 10**15), None),
        tokenizer=_shown(given.get("tokenizer")) or clean(described.get("tokenizer_hash"))[:12],
        model_type=clean(described.get("model_type")),
        arguments=((named_by, _public_name(raw, bool(sha), "")), *shown.items()),
        hidden_arguments=sum(key not in shown and key != named_by for key in given),
    )


def _public_name(raw: str, on_hub: bool, gguf_file: str) -> str:
    if gguf_file and not on_hub:
        return re.split(r"[\\/]", gguf_file)[-1].removesuffix(".gguf")
    name = _shown(re.sub(r"^(?:\.[\\/]+)+", "", raw))
    return name if name and name != REDACTED else "?"


def _shown(value: object) -> str:
    """A name or a place as text that may be shown; of a place on somebody's machine only the last part."""
    text = _text(value)
    return clean(last_part(text) if is_absolute(text) or text.startswith("..") else text)


def _quantisation(given: dict[str, Any], described: dict[str, Any]) -> str:
    """As the arguments say, which every run has, or as recorded; a GGUF file's name tells how many bits."""
    file = re.search(r"(?:I?Q\d\w*|[BF]F?16|F32)(?=\.gguf$)", _text(given.get("gguf_file")), re.IGNORECASE)
    if file:
        return f"GGUF {file.group().upper()}"
    flags = {"load_in_4bit": "bnb 4 bit", "load_in_8bit": "bnb 8 bit", "autogptq": "gptq", "gptqmodel": "gptq"}
    for key, name in flags.items():
        if given.get(key) and str(given[key]).lower() not in ("false", "none"):
            return name
    return _text(given.get("quantization")) or _text(described.get("quantisation"))


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _text(value: object) -> str:
    return str(value) if _is_plain(value) else ""
