"""Texts of the truth test: Python and English that Python packages carry, and what is held out of training.

Code: modules of the running interpreter's standard library, without its tests and its tables. Prose: the articles of
the Wikipedia slice in gensim's wheel, and its 300 news documents. Held out are whole packages and whole articles, by a
checksum of their names: `judged` is what models are judged on, `glimpse` the code of which a person has ten kilobytes.
"""

from __future__ import annotations

import bz2
import re
import sysconfig
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
_LEAST_CHARACTERS = 2_000
_NOT_CODE = {"site-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__pycache__"}


class Texts(NamedTuple):
    """Documents of each part."""

    code: list[str]
    """To train on."""
    prose: list[str]
    """To train on."""
    judged_code: list[str]
    judged_prose: list[str]
    glimpse: list[str]
    """Code that is neither trained on nor judged on."""


def read_texts() -> Texts:
    """All of it, in an order that is always the same for one Python and one gensim."""
    code: dict[int, list[str]] = {fold: [] for fold in range(10)}
    prose: dict[int, list[str]] = {fold: [] for fold in range(10)}
    for name, text in _modules():
        code[_fold(name)].append(text)
    for name, text in _articles():
        prose[_fold(name)].append(text)
    return Texts(
        code=[text for fold in range(2, 10) for text in code[fold]],
        prose=[text for fold in range(1, 10) for text in prose[fold]],
        judged_code=code[0],
        judged_prose=prose[0],
        glimpse=code[1],
    )


def _fold(name: str) -> int:
    return zlib.crc32(name.encode()) % 10


def _modules() -> Iterator[tuple[str, str]]:
    """(top-level package, text); a package is held out as a whole, for its modules are alike."""
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.rglob("*.py")):
        parts = file.relative_to(library).with_suffix("").parts
        if _NOT_CODE & set(parts):
            continue
        text = file.read_text(encoding="utf-8", errors="ignore")
        if len(text) >= _LEAST_CHARACTERS:
            yield parts[0], text


def _articles() -> Iterator[tuple[str, str]]:
    """(title, text)."""
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki
    from gensim.test.utils import datapath

    dump = datapath("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2")
    with bz2.open(dump) as file:
        for title, markup, _page in extract_pages(file, filter_namespaces=("0",)):
            text = re.sub(r"\n{3,}", "\n\n", re.sub(r"'{2,}", "", filter_wiki(markup))).strip()
            if len(text) >= _LEAST_CHARACTERS:
                yield title, text
    news = Path(datapath("lee_background.cor")).read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(news):
        if line.strip():
            yield f"news {i}", line.strip()


def train_tokenizer(texts: Texts, vocabulary: int, folder: Path) -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2's, of as much code as prose; saved in ``folder``, and read from there the next time."""
    from transformers import PreTrainedTokenizerFast

    if (folder / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast.from_pretrained(folder)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    least = min(sum(map(len, texts.code)), sum(map(len, texts.prose)))
    tokenizer.train_from_iterator([*_up_to(texts.code, least), *_up_to(texts.prose, least)], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    fast.save_pretrained(folder)
    return fast


def _up_to(texts: list[str], characters: int) -> Iterator[str]:
    """Documents spread over all of them, not those of the first letters, until there are so many characters."""
    for i in np.random.default_rng(0).permutation(len(texts)):
        if characters <= 0:
            return
        yield texts[i][:characters]
        characters -= len(texts[i])


def windows(tokenizer: Any, texts: list[str], context: int) -> NDArray[np.int64]:
    """[windows, context]: the documents' tokens one after the other, an end-of-text before each; rest left out."""
    end = tokenizer.eos_token_id
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    stream = np.concatenate([np.array([end, *ids], dtype=np.int64) for ids in encoded])
    return stream[: len(stream) // context * context].reshape(-1, context)


def mixture(code: NDArray[np.int64], prose: NDArray[np.int64], count: int, share: int, seed: int) -> NDArray[np.int64]:
    """``count`` windows of which ``share`` percent are code, none twice, in an order that the seed decides.

    Raises:
        SystemExit: where there is less text than that.
    """
    rng = np.random.default_rng(seed)
    of_code = round(count * share / 100)
    parts = []
    for name, text, wanted in (("code", code, of_code), ("prose", prose, count - of_code)):
        if wanted > len(text):
            raise SystemExit(f"{wanted} windows of {name} are wanted, there are {len(text)}; train on fewer")
        parts.append(text[rng.permutation(len(text))[:wanted]])
    both = np.concatenate(parts)
    return both[rng.permutation(count)]
