"""What the Hub finds out about a model, and the list of models."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from math import prod
from typing import Any

from hub._blob import Blob
from hub._content import Commit, Repository
from hub._exchange import Answer, Refusal, Request

_OF_CONFIG = ("architectures", "auto_map", "model_type", "quantization_config")
_OF_TOKENIZER = ("bos_token", "chat_template", "eos_token", "pad_token", "unk_token")
_SORTS = {"createdAt", "downloads", "lastModified", "likes", "trendingScore"}
_LISTED = ("id", "createdAt", "downloads", "library_name", "likes", "pipeline_tag", "private", "tags")
_ALL = (*_LISTED, "author", "gated", "lastModified", "sha", "siblings")


def described(repository: Repository, commit: Commit) -> dict[str, Any]:
    """What an answer about a model says beside what one about any repository does."""
    config = _json(commit, "config.json")
    known = {key: config[key] for key in _OF_CONFIG if key in config}
    tokenizer = _json(commit, "tokenizer_config.json")
    if tokenizer:
        known["tokenizer_config"] = {key: tokenizer[key] for key in _OF_TOKENIZER if key in tokenizer}
    card = commit.card
    library = card.get("library_name", "transformers" if config.get("model_type") else None)
    pipeline = card.get("pipeline_tag", repository.pipeline_tag)
    formats = [kind for kind in ("safetensors", "gguf") if any(path.endswith(f".{kind}") for path in commit.files)]
    found = [library, *formats, config.get("model_type"), pipeline, *_strings(card.get("tags")), *repository.tags]
    found += [f"license:{card['license']}"] if "license" in card else []
    found += [f"base_model:{base}" for base in _strings(card.get("base_model"))]
    found += ["custom_code"] if "auto_map" in config else []
    told: dict[str, Any] = {"tags": list(dict.fromkeys(filter(None, [*found, "region:us"])))}
    told |= {"pipeline_tag": pipeline, "library_name": library, "config": known, "cardData": card}
    parameters = _parameters(commit)
    if parameters:
        told["safetensors"] = {"parameters": parameters, "total": sum(parameters.values())}
    return {key: value for key, value in told.items() if value}


def listed(request: Request) -> Answer:
    """Models by what is asked of them, the first of the order first."""
    request.hub.asked.append(("models", "", "models"))
    models = [
        _listed(name.removeprefix("models/"), repository)
        for name, repository in list(request.hub.repositories.items())
        if name.startswith("models/")
        and (not repository.private or request.may_write(name.split("/")[1]))
        and repository.commits
    ]
    for key, values in request.query.items():
        models = [model for model in models if _meets(model, key, values)]
    sort = request.option("sort") or "trendingScore"
    if sort not in _SORTS:
        raise Refusal(400, f"the stand-in does not sort by {sort}")
    models.sort(key=lambda model: model[sort], reverse=True)
    start = int(request.option("cursor") or 0)
    end = start + min(request.hub.page, int(request.option("limit") or request.hub.page))
    keys = request.query.get("expand") or (_ALL if request.option("full") else _LISTED)
    keys = ("id", *keys, *(key for key in ("cardData", "config") if request.option(key)))
    answer = [{key: model[key] for key in keys if key in model} for model in models[start:end]]
    return Answer(answer, request.following(end, more=end < len(models)))


def _listed(name: str, repository: Repository) -> dict[str, Any]:
    commit = repository.head
    return {
        "id": name,
        "author": name.partition("/")[0],
        "createdAt": repository.created,
        "downloads": repository.downloads,
        "gated": repository.gated,
        "lastModified": commit.when,
        "likes": repository.likes,
        "private": repository.private,
        "sha": commit.oid,
        "siblings": list(commit.siblings(sizes=False)),
        "trendingScore": repository.likes,
    } | described(repository, commit)


def _meets(model: dict[str, Any], key: str, values: list[str]) -> bool:
    value = values[0]
    if key == "author":
        return bool(model["author"] == value)
    if key == "search":
        return value.lower() in model["id"].lower()
    if key == "filter":
        return set(values) <= set(model["tags"])
    if key == "pipeline_tag":
        return bool(model.get("pipeline_tag") == value)
    if key == "gated":
        return bool(model["gated"]) == (value == "true")
    if key == "num_parameters":
        bounds = dict(bound.split(":") for bound in value.split(","))
        total = model.get("safetensors", {}).get("total")
        return total is not None and _number(bounds.get("min", "0")) <= total <= _number(bounds.get("max", "inf"))
    if key in ("sort", "limit", "cursor", "expand", "full", "config", "cardData"):
        return True
    # Better no answer than one that leaves a condition out.
    raise Refusal(400, f"the stand-in does not know {key}")


def _number(text: str) -> float:
    unit = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1:])
    return float(text[:-1]) * unit if unit else float(text)


def _strings(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value] if isinstance(value, list) else []


def _json(commit: Commit, path: str) -> dict[str, Any]:
    if path in commit.files:
        with suppress(ValueError):
            found = json.loads(commit.files[path].content)
            return found if isinstance(found, dict) else {}
    return {}


def _parameters(commit: Commit) -> dict[str, int]:
    """Numbers by type, of the weights that are meant to be loaded."""
    whole, index = "model.safetensors", _json(commit, "model.safetensors.index.json")
    names = {whole} if whole in commit.files else set(_mapping(index.get("weight_map")).values())
    counts: Counter[str] = Counter()
    for name in names:
        if not isinstance(name, str) or name not in commit.files:
            return {}
        header = _header(commit.files[name])
        for key, tensor in header.items():
            if key != "__metadata__":
                counts[str(tensor["dtype"])] += prod(tensor["shape"])
    return dict(counts)


def _header(weights: Blob) -> dict[str, Any]:
    """Of a safetensors file; empty where it is none."""
    length = int.from_bytes(b"".join(weights.read(0, 8)), "little")
    if not 0 < length <= weights.size - 8:
        return {}
    with suppress(ValueError):
        return _mapping(json.loads(b"".join(weights.read(8, 8 + length))))
    return {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
