"""Which tokens stand for a domain, which for everyday text, and which for chance: by rule, from the tokenizer alone.

The paper's sets are not published, so these are ours. All but the chance sets follow from the spelling of tokens, and
what is drawn is drawn by SHA-256, so that the same tokenizer gives the same tokens wherever and whenever, whatever else
is asked for. An id stands for how frequent a token is: byte pair encoding numbers its merges in the order of their
frequency in the text that it was trained on, and unigram pieces are sorted by probability.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._vocabulary import Vocabulary

Ids = NDArray[np.int64]

SETS = ("digits", "python", "medical", "law")
"""That have a rule of their own."""
MOST = 128
"""Tokens of a set: of more, those of the lowest ids."""
FEWEST = 5
"""Tokens of a set, below which there is no G."""
GENERAL = 256
FEWEST_GENERAL = 32
_EVERYDAY = 20_000
"""Everyday words are sought among so many of the lowest ids."""
_NEIGHBOURS = 8
"""Tokens of neighbouring ids that are read as one part."""
_SAMPLE = 128
"""Parts of the random sample."""
_NEAR = 64
"""A token of the same frequency is at most so many ranks away, or a quarter of the rank if that is more."""
_SPACES = ("Ġ", "▁")
"""How tokenizers spell the space before a word: GPT-2's bytes, and SentencePiece."""
_DIGITS = re.compile(r"[0-9]+")
_WORD = re.compile(r"[a-z]{3,}")


@dataclass(frozen=True)
class Sets:
    """Ids of one tokenizer."""

    domain: dict[str, Ids]
    """Of each set asked for, in order of id; at most ``MOST``."""
    found: dict[str, int]
    """How many each set has in the tokenizer."""
    general: Ids
    """Everyday words, in none of ``SETS``; a set's own are left out of them."""
    sample: Ids
    """Of all ordinary tokens, in blocks of neighbours."""
    near: dict[str, list[Ids]]
    """Of each token of a set some of about its frequency."""
    padding: Ids
    """Rows beyond all tokens: some of them."""
    padding_rows: int
    """How many there are."""

    @property
    def named(self) -> Ids:
        """All that have a token, in order of id."""
        near = [some for slots in self.near.values() for some in slots]
        return np.unique(np.concatenate([self.general, self.sample, *self.domain.values(), *near]))


def check_sets(names: Sequence[str]) -> dict[str, list[str] | None]:
    """The words of each set that is asked for; None where a rule says them.

    Raises:
        TaskError: for a name that is none or would be another's, too, or a file that cannot be read.
    """
    found: dict[str, list[str] | None] = {}
    called = dict.fromkeys(map(task_name, SETS), "")
    for name in names:
        if name.startswith("@"):
            if called.setdefault(task_name(name), name) != name:
                raise TaskError(f"{name} would be called {task_name(name)}, as another set is; rename the file")
            found[name] = _of_file(Path(name[1:]))
        elif name in SETS:
            found[name] = None if name == "digits" else _shipped(name)
        else:
            raise TaskError(f"no token set {name}; there are {', '.join(SETS)}, and @FILE with a word a line")
    return found


def task_name(name: str) -> str:
    """What a token set is called among tasks."""
    plain = Path(name[1:]).stem if name.startswith("@") else name
    return "screen_" + re.sub(r"\W", "_", plain)


def make_sets(vocabulary: Vocabulary, wanted: dict[str, list[str] | None], rows: int) -> Sets:
    """The ids whose rows are needed.

    Args:
        vocabulary: of the checkpoint.
        wanted: as ``check_sets`` gives it.
        rows: of its output projection.

    Raises:
        Unscreenable: for a tokenizer without enough everyday words, or with more tokens than there are rows.
    """
    ordinary = np.fromiter(vocabulary.tokens, dtype=np.int64)
    if len(ordinary) and ordinary[-1] >= rows:
        raise Unscreenable(f"its tokenizer has tokens up to id {ordinary[-1]:,}, its output matrix {rows:,} rows")
    whole = {name: _ids(name, words, vocabulary) for name, words in wanted.items()}
    domain = {name: ids[:MOST] for name, ids in whole.items()}
    shipped = [_ids(name, words, vocabulary) for name, words in check_sets(SETS).items()]
    general = _general(vocabulary, ordinary, set(np.concatenate(shipped).tolist()))
    near = {name: [_near(vocabulary, ordinary, i, ids, general) for i in ids.tolist()] for name, ids in domain.items()}
    unnamed = np.setdiff1d(np.arange(rows), np.fromiter(vocabulary.known, dtype=np.int64))
    few = unnamed[np.unique(np.linspace(0, len(unnamed) - 1, 16).astype(int))] if len(unnamed) else unnamed
    sizes = {name: len(ids) for name, ids in whole.items()}
    return Sets(domain, sizes, general, _sample(ordinary), near, few, len(unnamed))


def spell(token: str) -> str:
    """A token as a person reads it: its space is one."""
    return f" {token[1:]}" if token.startswith(_SPACES) else token


def _ids(name: str, words: list[str] | None, vocabulary: Vocabulary) -> Ids:
    if words is None:
        found = {i for i, token in vocabulary.tokens.items() if _DIGITS.fullmatch(token.lstrip("".join(_SPACES)))}
    else:
        spelled = (one for word in words for one in _spellings(word))
        found = {vocabulary.ids[one] for one in spelled if one in vocabulary.ids}
    return np.array(sorted(found), dtype=np.int64)


def _spellings(word: str) -> list[str]:
    """How a tokenizer may spell a word, with and without the space before it."""
    in_bytes = "".join(_byte_letters()[byte] for byte in word.encode())
    return [word, f"▁{word}", in_bytes, f"Ġ{in_bytes}"]


@lru_cache(1)
def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte: itself where it can be printed, else one from U+0100 on, in order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def _general(vocabulary: Vocabulary, ordinary: Ids, excluded: set[int]) -> Ids:
    """Words of three and more small letters after a space; which of them, their hash says."""
    words = [
        (_hash(token[1:]), i)
        for i in ordinary[:_EVERYDAY].tolist()
        if (token := vocabulary.tokens[i]).startswith(_SPACES) and _WORD.fullmatch(token[1:]) and i not in excluded
    ]
    if len(words) < FEWEST_GENERAL:
        raise Unscreenable(f"its tokenizer has {len(words)} everyday tokens, where {FEWEST_GENERAL} are needed")
    return np.array(sorted(i for _, i in sorted(words)[:GENERAL]), dtype=np.int64)


def _sample(ordinary: Ids) -> Ids:
    blocks = range(0, len(ordinary), _NEIGHBOURS)
    chosen = sorted(blocks, key=lambda at: _hash(f"sample {at}"))[:_SAMPLE]
    return np.sort(np.concatenate([ordinary[at : at + _NEIGHBOURS] for at in chosen]))


def _near(vocabulary: Vocabulary, ordinary: Ids, token: int, domain: Ids, general: Ids) -> Ids:
    """A few neighbours in id, somewhere near a token's own; none of the set, none of the general ones."""
    rank = int(np.searchsorted(ordinary, token))
    reach = max(_NEAR, rank // 4)
    moved = rank - reach + int(_hash(vocabulary.tokens[token]), 16) % (2 * reach)
    at = min(max(0, moved), max(0, len(ordinary) - _NEIGHBOURS))
    found = ordinary[at : at + _NEIGHBOURS]
    return np.setdiff1d(found, np.concatenate([domain, general]))


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _shipped(name: str) -> list[str]:
    text = files("lm_eval_dispersion.screen").joinpath("words").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return text.split()


def _of_file(path: Path) -> list[str]:
    try:
        words = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    found = list(_without_empty(words))
    if not found:
        raise TaskError(f"{path} has no words; one a line")
    return found


def _without_empty(words: Iterable[str]) -> Iterable[str]:
    return (word for word in words if word)
