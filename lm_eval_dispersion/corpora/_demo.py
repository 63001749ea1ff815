"""Real texts that PyPI packages and Python itself carry: for the demo, the tests and machines offline."""

from __future__ import annotations

import bz2
import json
import re
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._errors import TaskError

if TYPE_CHECKING:
    from datasets import Dataset

# Articles of the dump run to 70,000 characters: a few windows of each make a corpus of many documents.
_ARTICLE_CHARACTERS = 8_000
_STUB_CHARACTERS = 2_000
_SOURCES = ("argparse", "ast", "asyncio", "collections", "concurrent", "csv", "dataclasses", "email", "html", "http",
            "inspect", "json", "logging", "statistics", "tarfile", "textwrap", "threading", "tokenize", "unittest",
            "urllib", "zipfile")  # fmt: skip
_SOURCE_CHARACTERS = 6_000
_CHOICE = re.compile(r"\s*\(([A-E])\)\s*")
_ANSWER = re.compile(r"answer is \(?([A-E])\)?")


def _dataset(rows: Iterator[dict[str, Any]]) -> dict[str, Dataset]:
    from datasets import Dataset

    return {"test": Dataset.from_list(list(rows))}


def _gensim_data(name: str) -> Path:
    spec = find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        raise TaskError("the offline demo texts are in gensim's wheel; pip install 'lm-eval-dispersion[demo]'")
    return Path(spec.submodule_search_locations[0]) / "test" / "test_data" / name


def demo_wiki(**_: Any) -> dict[str, Dataset]:
    """English Wikipedia: the articles of a real dump slice, each cut at a line end after 8,000 characters."""
    dump = _gensim_data("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2")
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    def articles() -> Iterator[dict[str, Any]]:
        with bz2.open(dump) as file:
            for title, markup, _page in extract_pages(file, filter_namespaces=("0",)):
                text = re.sub(r"'{2,}", "", filter_wiki(markup))
                text = re.sub(r"\n{3,}", "\n\n", text).strip()
                if len(text) >= _STUB_CHARACTERS:
                    yield {"title": title, "text": _cut(text, _ARTICLE_CHARACTERS)}

    return _dataset(articles())


def demo_news(**_: Any) -> dict[str, Dataset]:
    """300 news documents of the Australian Broadcasting Corporation (the Lee background corpus)."""
    lines = _gensim_data("lee_background.cor").read_text(encoding="utf-8").splitlines()
    return _dataset({"text": line.strip()} for line in lines if line.strip())


def demo_code(**_: Any) -> dict[str, Dataset]:
    """Python: modules of the running interpreter's standard library, each cut after 6,000 characters."""
    library = Path(sysconfig.get_path("stdlib"))

    def modules() -> Iterator[dict[str, Any]]:
        for name in _SOURCES:
            single = library / f"{name}.py"
            for file in [single] if single.is_file() else sorted((library / name).glob("*.py")):
                text = file.read_text(encoding="utf-8")
                if len(text) >= _STUB_CHARACTERS:
                    yield {"module": str(file.relative_to(library)), "text": _cut(text, _SOURCE_CHARACTERS)}

    return _dataset(modules())


def demo_mmlu(**_: Any) -> dict[str, Dataset]:
    """282 MMLU questions of 57 subjects, with their answers, from lm_eval's own chain-of-thought prompts."""
    from lm_eval_dispersion.seams.demo_questions import FILE

    subjects = json.loads(FILE.read_text(encoding="utf-8"))

    def questions() -> Iterator[dict[str, Any]]:
        for subject, prompt in subjects.items():
            for block in re.split(r"\n\s*Q:\s*", prompt)[1:]:
                asked, _, reasoning = block.partition("\nA: ")
                question, *lettered = _CHOICE.split(asked.strip())
                letters, choices = lettered[::2], [choice.strip() for choice in lettered[1::2]]
                answer = letters.index(_ANSWER.findall(reasoning)[-1])
                yield {
                    "subject": subject,
                    "question": question.strip(),
                    "letters": letters,
                    "choices": choices,
                    "answer": answer,
                }

    return _dataset(questions())


def _cut(text: str, characters: int) -> str:
    """At the last line end before the limit, or at the limit where there is none."""
    if len(text) <= characters:
        return text
    end = text.rfind("\n", 0, characters)
    return text[: end if end > 0 else characters]
