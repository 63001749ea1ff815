"""What a name stands for: its output projection, its tokens and its kind, wherever its files lie."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import LocalFolder, Meter, Source, read_all
from lm_eval_dispersion.screen._gguf import read_gguf
from lm_eval_dispersion.screen._hub import HubRepository, cached_folder
from lm_eval_dispersion.screen._matrix import Matrix, of_gguf, of_safetensors
from lm_eval_dispersion.screen._safetensors import Stored, located, read_header
from lm_eval_dispersion.screen._vocabulary import Vocabulary, of_gguf_tokens, read_vocabulary

_HUB = re.compile(
    r"(?P<name>(?:[\w.-]+/)?[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[^/]+\.(?:gguf|safetensors)))?"
)
_SPLIT = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")
_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_SMALL_FILE = 64 * 1024 * 1024
# By the end of a tensor's name, the likeliest first; what stands before it are the parts that it lies in.
_OUTPUT = ("lm_head.weight", "embed_out.weight", "lm_head.linear.weight", "output_layer.weight")
_OUTPUT_WHOLE = ("output.weight", "model.output.weight", "head.weight")
_INPUT = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
    "backbone.embeddings.weight",
    "backbone.embedding.weight",
    "embed.weight",
)
_PACKED = ("lm_head.qweight", "lm_head.weight_packed", "lm_head.weight.absmax")


@dataclass(frozen=True)
class Checkpoint:
    """A model that can be screened."""

    name: str
    """As it was asked for."""
    pretrained: str
    """The folder or the Hub's name of it."""
    file: str | None
    """The one file that was asked for, or the GGUF file that there is."""
    revision: str | None
    """The commit; None where it lies on this machine."""
    model_type: str
    """Of its configuration, GGUF's architecture; empty where nothing says."""
    matrix: Matrix
    vocabulary: Vocabulary
    size: int
    """Bytes of its weights' files."""


def open_checkpoint(name: str, meter: Meter) -> Checkpoint:
    """Finds a model's output projection; no row is read.

    Args:
        name: a folder, a .gguf or .safetensors file, ``ORG/MODEL`` of the Hub, ``ORG/MODEL@REVISION``, and either with
            ``/FILE.gguf`` behind it.
        meter: counts what is read.

    Raises:
        Unscreenable: for one that is not to be screened, in one line.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return _of_source(name, name, LocalFolder(path, meter), None)
    if path.is_file():
        if path.suffix not in (".gguf", ".safetensors"):
            raise Unscreenable("neither a folder nor a .gguf or .safetensors file")
        return _of_source(name, str(path.parent), LocalFolder(path.parent, meter), path.name)
    told = _HUB.fullmatch(name)
    if told is None:
        raise Unscreenable("no such folder or file, nor is it the name of a model on the Hub (ORG/MODEL)")
    return _of_source(name, told["name"], _hub(told["name"], told["revision"], meter), told["file"])


def _hub(name: str, revision: str | None, meter: Meter) -> Source:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return LocalFolder(Path(cached_folder(name, revision)), meter)
    return HubRepository(name, revision, meter)


def _of_source(name: str, pretrained: str, source: Source, file: str | None) -> Checkpoint:
    if file is not None and file not in source.sizes:
        raise Unscreenable(f"it has no file {file}")
    ggufs = [one for one in source.sizes if one.endswith(".gguf")]
    safetensors = [one for one in source.sizes if one.endswith(".safetensors") and not one.startswith("adapter_")]
    if file is None and not safetensors and ggufs:
        first = {_parts(one, source)[0] for one in ggufs}
        if len(first) > 1:
            raise Unscreenable(f"it holds {len(first)} GGUF files; name one, for instance {name}/{min(first)}")
        (file,) = first
    if file is not None and file.endswith(".gguf"):
        model_type, matrix, vocabulary, weights = _gguf(source, file)
    else:
        if not safetensors:
            raise Unscreenable(_why_no_weights(source))
        model_type, matrix, weights = _safetensors(source, safetensors, file)
        vocabulary = read_vocabulary(source)
    size = sum(source.sizes.get(one, 0) for one in weights)
    return Checkpoint(name, pretrained, file, source.revision, model_type, matrix, vocabulary, size)


def _why_no_weights(source: Source) -> str:
    if "adapter_config.json" in source.sizes:
        base = _json(source, "adapter_config.json").get("base_model_name_or_path")
        of = f" of {base}" if isinstance(base, str) and base else ""
        return f"an adapter alone{of}, which has no output matrix; screen its base, or merge it first"
    pickles = [one for one in source.sizes if one.endswith(_PICKLES)]
    if pickles:
        return f"its weights are pickled ({pickles[0]}), and a pickle is never opened; save it as safetensors"
    return "neither safetensors nor GGUF weights in it"


def _parts(file: str, source: Source) -> list[str]:
    """All files of a GGUF model that may be split."""
    split = _SPLIT.fullmatch(file)
    if not split:
        return [file]
    return sorted(one for one in source.sizes if (s := _SPLIT.fullmatch(one)) and s.groups() == split.groups())


def _gguf(source: Source, file: str) -> tuple[str, Matrix, Vocabulary, list[str]]:
    files = _parts(file, source)
    headers = [(source.file(one), read_gguf(source.file(one))) for one in files]
    metadata = headers[0][1].metadata
    for name in ("output.weight", "token_embd.weight"):
        for held, header in headers:
            if name in header.tensors:
                tokens = of_gguf_tokens(
                    metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")
                )
                architecture = metadata.get("general.architecture")
                model_type = architecture if isinstance(architecture, str) else ""
                return model_type, of_gguf(held, header, name), tokens, files
    raise Unscreenable("it has no output projection: neither output.weight nor token_embd.weight")


def _safetensors(source: Source, files: list[str], file: str | None) -> tuple[str, Matrix, list[str]]:
    config = _json(source, "config.json") if "config.json" in source.sizes else {}
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    headers = _Headers(source)
    where = _where(source, files, file, headers)
    name, tied = _choose(where, _told(config, text, "tie_word_embeddings"))
    weight = headers.tensor(where[name], name)
    scale = None
    if weight.dtype.startswith("F8"):
        scales = (f"{name}{ending}" for ending in ("_scale_inv", "_scale"))
        at = next((one for one in scales if one in where), None)
        scale = headers.tensor(where[at], at) if at is not None else None
    quantised = _told(config, text, "quantization_config")
    block = quantised.get("weight_block_size") if isinstance(quantised, dict) else None
    model_type = config.get("model_type")
    matrix = of_safetensors(weight, scale, block, tied)
    return model_type if isinstance(model_type, str) else "", matrix, sorted(set(where.values()))


class _Headers:
    """The headers of safetensors files, each read once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read: dict[str, dict[str, dict[str, Any]]] = {}

    def of(self, file: str) -> dict[str, dict[str, Any]]:
        """Of a file, by tensor."""
        if file not in self._source.sizes:
            raise Unscreenable(f"{_INDEX} names {file}, which is not there; download it")
        if file not in self._read:
            self._read[file] = read_header(self._source.file(file))
        return self._read[file]

    def tensor(self, file: str, name: str) -> Stored:
        """One tensor, looked at."""
        if name not in self.of(file):
            raise Unscreenable(f"its index says that {name} is in {file}, where it is not")
        return located(self._source.file(file), self.of(file), name)


def _told(config: dict[str, Any], text: Any, key: str) -> Any:
    """Of a model that reads more than text, as its text part says, or as it says itself."""
    return text.get(key, config.get(key)) if isinstance(text, dict) else config.get(key)


def _where(source: Source, files: list[str], file: str | None, headers: _Headers) -> dict[str, str]:
    """The file of each tensor, by name."""
    if file is None and _WHOLE not in files and _INDEX in source.sizes:
        where = _json(source, _INDEX).get("weight_map")
        if not isinstance(where, dict) or not all(isinstance(one, str) for one in where.values()):
            raise Unscreenable(f"{_INDEX} has no weight_map of names")
        return where
    chosen = file or (_WHOLE if _WHOLE in files else files[0] if len(files) == 1 else None)
    if chosen is None:
        raise Unscreenable(f"it has {len(files)} safetensors files and no {_INDEX} that says what is in them")
    return dict.fromkeys((name for name in headers.of(chosen) if name != "__metadata__"), chosen)


def _choose(names: dict[str, str], tie: Any) -> tuple[str, bool]:
    """The output projection's name, and whether it is the input embeddings'."""
    found = _ending(names, _OUTPUT) or next((name for name in _OUTPUT_WHOLE if name in names), None)
    if found:
        return found, False
    if packed := _ending(names, _PACKED):
        raise Unscreenable(f"its output projection is packed ({packed}), which cannot be read by rows")
    embeddings = _ending(names, _INPUT)
    if embeddings and tie is not False:
        return embeddings, True
    if embeddings:
        raise Unscreenable("it has no output projection: no lm_head.weight, and its config.json says it is not tied")
    raise Unscreenable(
        "it has no output projection: neither lm_head.weight nor input embeddings; is it a causal model?"
    )


def _ending(names: dict[str, str], endings: tuple[str, ...]) -> str | None:
    """The least nested of the tensors of the first ending that there is."""
    for ending in endings:
        found = [name for name in names if name == ending or name.endswith(f".{ending}")]
        if found:
            return min(found, key=lambda name: (name.count("."), name))
    return None


def _json(source: Source, name: str) -> dict[str, Any]:
    try:
        told = json.loads(read_all(source.file(name), _SMALL_FILE))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unscreenable(f"{name} is no JSON object")
    return told
