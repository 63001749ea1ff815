"""Whether a model is a causal language model that the installed transformers has its own code for."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import Reason

_SHOWN = 60
# Encoders, whose attention is causal where `is_decoder` says so.
_ENCODERS = frozenset({
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
    "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
})  # fmt: skip
_PARSING = threading.Lock()
"""Python 3.11 fails where two threads parse at the same time (python/cpython#106905)."""


def reason_against(config: Mapping[str, Any]) -> tuple[Reason, str] | None:
    """Why a model with this ``config.json`` cannot be evaluated; None where it can.

    Its ``auto_map`` is not looked at: code that comes with a model is never run, and models that bring code although
    transformers has its own are many.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        return Reason.NOT_CAUSAL_LM, "its config.json names no model_type"
    if kind not in _known():
        return Reason.REMOTE_CODE, f"transformers does not know {_shown(kind)}: it would need code of the model's own"
    if "transformers_weights" in config:
        return Reason.UNSAFE_WEIGHTS, "its config.json names weights of another name (transformers_weights)"
    if (kernel := next(_foreign(config), None)) is not None:
        return Reason.REMOTE_CODE, f"its config.json asks for code from elsewhere: {_shown(kernel)}"
    encoders = _table("modeling_auto.py", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES")
    causal = _table("modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")
    if config.get("is_encoder_decoder") is True or kind in encoders:
        return Reason.NOT_CAUSAL_LM, f"{_shown(kind)} has an encoder and a decoder"
    listed = config.get("architectures")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    # Models of text and images are loaded as their text part, under the name of the whole.
    if kind in causal and any(name in causal.values() or name.endswith("ForConditionalGeneration") for name in names):
        both_ways = _reads_both_ways(config)
        return (Reason.NOT_CAUSAL_LM, f"{_shown(kind)} reads both ways: {both_ways}") if both_ways else None
    said = f"{_shown(kind)} ({_shown(', '.join(names) or 'no architecture')})"
    return Reason.NOT_CAUSAL_LM, f"{said} is no causal language model to transformers"


def _reads_both_ways(config: Mapping[str, Any]) -> str | None:
    """Why a state would depend on later tokens; the plugin (``capture/_causal.py``) asks the same of a loaded model.

    Which types heed which setting is nowhere said but in transformers' code.
    """
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        kind, silent = str(part.get("model_type")), "its config.json does not say"
        if part.get("is_causal") is False:
            return "its config.json says is_causal: false"
        if (how := part.get("use_bidirectional_attention")) is True or how == "all":
            return "its config.json says use_bidirectional_attention"
        if kind in _ENCODERS and part.get("is_decoder") is not True:
            return f"{silent} is_decoder: true"
        if kind == "xlnet" and part.get("attn_type") != "uni":
            return f'{silent} attn_type: "uni"'
        if kind == "xlm" and part.get("causal") is not True:
            return f"{silent} causal: true"
        if kind == "cpmant":
            return "it has no other attention"
    return None


def _shown(text: str) -> str:
    return clean(text)[:_SHOWN]


def _foreign(config: Mapping[str, Any]) -> Iterator[str]:
    """Implementations that transformers would fetch as code from another repository of the Hub."""
    todo: list[Any] = [config]
    while todo:
        found = todo.pop()
        if isinstance(found, dict):
            for key, value in found.items():
                if key.endswith(("attn_implementation", "experts_implementation")):
                    given = value.values() if isinstance(value, dict) else [value]
                    yield from (name for name in given if isinstance(name, str) and "/" in name)
            todo += found.values()
        elif isinstance(found, list):
            todo += found


def _known() -> set[str]:
    """All model types."""
    name = "CONFIG_MAPPING_NAMES"
    return _table("auto_mappings.py", name).keys() | _table("configuration_auto.py", name).keys()


@cache
def _table(file: str, name: str) -> dict[str, str]:
    """A table of ``transformers.models.auto`` out of its source: its import takes ten seconds and brings torch."""
    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
    source = Path(spec.submodule_search_locations[0]) / "models" / "auto" / file
    found: dict[str, str] = {}
    with _PARSING:
        nodes = ast.parse(source.read_text(encoding="utf-8")).body if source.is_file() else []
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else []
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            targets = [call.func.value]  # NAME.update(...)
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            found |= _pairs(node)
    return found


def _pairs(node: ast.AST) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Tuple) and len(part.elts) == 2:
            items = [(part.elts[0], part.elts[1])]
        elif isinstance(part, ast.Dict):
            items = [(key, value) for key, value in zip(part.keys, part.values, strict=True) if key is not None]
        else:
            continue
        for key, value in items:
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                pairs[str(key.value)] = str(value.value)
    return pairs
