"""Which files of a model are fetched and loaded: weights that are data only, and what describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dispersion_leaderboard.admission._architectures import reason_against
from dispersion_leaderboard.requests import BadRequest, Reason, Request

WHOLE, INDEX, CONFIG, ADAPTER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "adapter_config.json",
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_SHARD = re.compile(r"\w[\w.-]{0,150}\.safetensors", re.ASCII)
_BESIDE = re.compile(
    r"\w[\w.-]{0,100}\.json|(tokenizer|spiece|sentencepiece\.bpe)\.model|(merges|vocab)\.txt|chat_template\.jinja",
    re.ASCII,
)
_LONGEST = {CONFIG: 10**6, INDEX: 32 * 10**6}


class Refused(Exception):
    """A model that is not evaluated, or not now.

    Attributes:
        reason: its code.
        detail: one line that anyone may read.
        sha: the commit that it was said of; None where there is none to be seen.
    """

    def __init__(self, reason: Reason, detail: str, sha: str | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.sha = reason, detail, sha


def check_id(model: str, gguf_file: str = "") -> None:
    """Refuses what no model, or no GGUF file, can be called.

    Raises:
        BadRequest: in one line.
    """
    Request(model, "0" * 40, "any@00000000", gguf_file=gguf_file)


@dataclass(frozen=True)
class Listing:
    """What a repository or a folder says that it holds."""

    sizes: Mapping[str, int | None]
    """By path; None where it is not told."""
    read: Callable[[str, int], bytes]
    """The content of a file; of a longer one than so many bytes, only more than that many."""
    sha: str | None = None
    """The commit."""

    def choose(self, largest: int, gguf_file: str) -> tuple[dict[str, int], str]:
        """The files to fetch with their sizes, and the GGUF file that is loaded, if any.

        Only what the engines take first is admitted as weights, so that they never go on to look for a pickle, and
        nothing is admitted whose configuration sends it to another repository.

        Raises:
            Refused: where there are none, or more than ``largest`` bytes of them.
        """
        whole = {WHOLE, INDEX} & self.sizes.keys()
        has_gguf = any(name.endswith(".gguf") for name in self.sizes)
        if ADAPTER in self.sizes:
            raise self.refuse(Reason.NOT_CAUSAL_LM, "is an adapter of another model, which is not loaded along")
        if gguf_file or (has_gguf and not whole):
            gguf_file = self._gguf(gguf_file)
            weights = {gguf_file}
        elif whole:
            # Where there are both, transformers takes the one and vLLM the other.
            weights = (whole - {INDEX}) | (self._shards() if INDEX in whole else set())
            config = self._json(CONFIG)
            if not isinstance(config, dict):
                raise self.refuse(Reason.NOT_CAUSAL_LM, f"its {CONFIG} is no mapping")
            if against := reason_against(config):
                raise self.refuse(*against)
        elif any(name.endswith(_PICKLES) for name in self.sizes):
            raise self.refuse(Reason.UNSAFE_WEIGHTS, "its weights are in formats that may run code when opened")
        else:
            raise self.refuse(Reason.NOT_CAUSAL_LM, f"has neither {WHOLE} nor a GGUF file")
        return self._within(weights | {name for name in self.sizes if _BESIDE.fullmatch(name)}, largest), gguf_file

    def refuse(self, reason: Reason, detail: str) -> Refused:
        """The exception to raise."""
        return Refused(reason, detail, self.sha)

    def _gguf(self, wanted: str) -> str:
        there = [name for name in self.sizes if name.endswith(".gguf")]
        if wanted and wanted not in there:
            raise self.refuse(Reason.NOT_FOUND, f"has no {wanted}; name another with --gguf-file")
        if not wanted and len(there) > 1:
            raise self.refuse(Reason.NOT_FOUND, f"has {len(there)} GGUF files; name one with --gguf-file")
        name = wanted or there[0]
        try:
            check_id("any/any", name)
        except BadRequest as error:
            raise self.refuse(Reason.NOT_FOUND, f"{error} for --gguf-file") from error
        return name

    def _shards(self) -> set[str]:
        found = self._json(INDEX)
        named = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(named, dict) or not named:
            raise self.refuse(Reason.UNSAFE_WEIGHTS, f"its {INDEX} names no files")
        for name in named.values():
            if not isinstance(name, str) or not _SHARD.fullmatch(name):
                raise self.refuse(Reason.UNSAFE_WEIGHTS, f"its {INDEX} names what is no safetensors file beside it")
            if name not in self.sizes:
                raise self.refuse(Reason.NOT_FOUND, f"its {INDEX} names {name}, which is not there")
        return set(named.values())

    def _json(self, name: str) -> object:
        if name not in self.sizes:
            raise self.refuse(Reason.NOT_CAUSAL_LM, f"has no {name}")
        most, size = _LONGEST[name], self.sizes[name]
        # What is told may be a lie, so that what came is measured too.
        content = self.read(name, most) if size is not None and size <= most else None
        if content is None or len(content) > most:
            raise self.refuse(Reason.NOT_CAUSAL_LM, f"its {name} has more than {most} bytes")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.refuse(Reason.NOT_CAUSAL_LM, f"its {name} is not JSON") from error

    def _within(self, names: set[str], largest: int) -> dict[str, int]:
        files: dict[str, int] = {}
        for name in sorted(names):
            size = self.sizes[name]
            if size is None or size < 0:
                raise self.refuse(
                    Reason.TOO_LARGE, f"the Hub does not say how large {name} is; at most {largest} bytes are fetched"
                )
            files[name] = size
        if (total := sum(files.values())) > largest:
            raise self.refuse(Reason.TOO_LARGE, f"its files have {total} bytes; at most {largest} are fetched")
        return files
