"""The tokens of a checkpoint by id, from its tokenizer's file."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from lm_eval_dispersion._errors import one_line
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import Source, read_all

_LARGEST = 128 * 1024 * 1024
"""Bytes of a tokenizer's file; Gemma's has 33 million."""
_OTHERS = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "special_tokens_map.json",
    "added_tokens.json",
)
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_NORMAL, _UNUSED = 1, 5
"""Of ``gguf.TokenType``."""


@dataclass(frozen=True)
class Vocabulary:
    """What each row of the output projection stands for."""

    tokens: dict[int, str]
    """The ordinary tokens by id, in order, as the tokenizer spells them; neither special, nor added, nor bytes."""
    known: frozenset[int]
    """All ids that have any token; the rows beyond are padding."""

    @cached_property
    def ids(self) -> dict[str, int]:
        """Of the ordinary tokens."""
        return {token: i for i, token in self.tokens.items()}

    @cached_property
    def hash(self) -> str:
        """Equal where rows of the same id stand for the same tokens."""
        return tokens_hash(self.tokens, self.tokens)


def tokens_hash(tokens: Mapping[int, str], ids: Iterable[int]) -> str:
    """SHA-256 over id and spelling of these tokens, by id."""
    lines = (f"{i}\t{tokens[i]}\n" for i in sorted(ids))
    return sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def vocabulary(ids: Mapping[str, int], added: Iterable[int] = ()) -> Vocabulary:
    """From ids by token.

    Args:
        ids: of all tokens.
        added: those that are special or were added to the model's own.
    """
    known, others = frozenset(ids.values()) | frozenset(added), frozenset(added)
    by_id = sorted((i, token) for token, i in ids.items() if i not in others and not _BYTE.fullmatch(token))
    return Vocabulary(dict(by_id), known)


def read_vocabulary(source: Source) -> Vocabulary:
    """The tokens of a model's folder: from ``tokenizer.json``, else ``vocab.json``, else by transformers.

    No code of other people's is run.

    Raises:
        Unscreenable: where there is no tokenizer, or none that can be read.
    """
    if "tokenizer.json" in source.sizes:
        return _of_tokenizer_json(_json(source, "tokenizer.json"))
    if "vocab.json" in source.sizes:
        added = _json(source, "added_tokens.json") if "added_tokens.json" in source.sizes else {}
        return vocabulary(_ids({**_json(source, "vocab.json"), **added}), _ids(added).values())
    return _by_transformers(source)


def of_gguf_tokens(tokens: Any, kinds: Any) -> Vocabulary:
    """Of a GGUF file's metadata.

    Raises:
        Unscreenable: where it has none.
    """
    if not isinstance(tokens, list) or not tokens:
        raise Unscreenable("it has no tokenizer (tokenizer.ggml.tokens), so its rows cannot be told apart")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        kinds = [_NORMAL] * len(tokens)
    spelled = [token.decode("utf-8", "replace") if isinstance(token, bytes) else str(token) for token in tokens]
    ordinary = {i: token for i, token in enumerate(spelled) if kinds[i] == _NORMAL and not _BYTE.fullmatch(token)}
    return Vocabulary(ordinary, frozenset(i for i, kind in enumerate(kinds) if kind != _UNUSED))


def _of_tokenizer_json(told: dict[str, Any]) -> Vocabulary:
    model, added = told.get("model"), told.get("added_tokens")
    held = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(held, list):  # Unigram: pairs of a piece and its logarithm
        pieces = [pair[0] if isinstance(pair, list) and pair else None for pair in held]
        ids = {piece: i for i, piece in enumerate(pieces) if isinstance(piece, str)}
    else:
        ids = _ids(held)
    more = {
        one["content"]: one["id"]
        for one in (added if isinstance(added, list) else [])
        if isinstance(one, dict) and isinstance(one.get("content"), str) and _is_id(one.get("id"))
    }
    return vocabulary({**ids, **more}, more.values())


def _by_transformers(source: Source) -> Vocabulary:
    names = [name for name in source.sizes if any(fnmatch(name, pattern) for pattern in _OTHERS)]
    if not names:
        raise Unscreenable("it has no tokenizer, so its rows cannot be told apart; put its tokenizer.json beside it")
    with tempfile.TemporaryDirectory() as folder:
        for name in (*names, *(n for n in ("config.json",) if n in source.sizes)):
            (Path(folder) / name).write_bytes(read_all(source.file(name), _LARGEST))
        try:
            from transformers import AutoTokenizer

            found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            return vocabulary(_ids(dict(found.get_vocab())), _ids(dict(found.get_added_vocab())).values())
        except Exception as error:  # other people's files, which may be broken in any way
            raise Unscreenable(f"its tokenizer cannot be read ({one_line(error)})") from None


def _json(source: Source, name: str) -> dict[str, Any]:
    try:
        told = json.loads(read_all(source.file(name), _LARGEST))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unscreenable(f"{name} is no JSON object")
    return told


def _ids(held: Any) -> dict[str, int]:
    if not isinstance(held, dict) or not all(map(_is_id, held.values())):
        raise Unscreenable("its tokenizer is of a form that is not known here")
    return held


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31
