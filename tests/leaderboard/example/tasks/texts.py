"""Labelled questions from the demo texts: no annotator, the text itself says what comes next.

Every question comes from the first documents of a corpus, none of which the tiny models were trained on
(``HELD_OUT``). Which words and which distractors is drawn from a generator seeded by the question's place.
"""

from __future__ import annotations

import random
import re
from typing import Any

from datasets import Dataset

from lm_eval_dispersion.corpora import demo_code, demo_news, demo_wiki

HELD_OUT = {"wiki": 20, "news": 100, "code": 20}
_CORPORA = {"wiki": demo_wiki, "news": demo_news, "code": demo_code}
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)][.?!])\s+(?=[A-Z])")
_TOKEN = re.compile(r"(\w+|[^\w\s])(\s*)")
_CONTEXT = 120
_WRONG = 3


def held_out(corpus: str) -> list[str]:
    """The documents that are evaluated."""
    return _texts(corpus)[: HELD_OUT[corpus]]


def trained_on(corpus: str) -> list[str]:
    """The documents that the tiny models learn."""
    return _texts(corpus)[HELD_OUT[corpus] :]


def news_next_words(**_: Any) -> dict[str, Dataset]:
    """Which ten words go on a report: its own, or those of another report, an article or a module."""
    starts, reports = [], []
    for text in held_out("news"):
        sentences = _SENTENCE_END.split(text)
        following = next((s for s in sentences[2:] if len(s.split()) >= 10), None)
        if following is not None:
            starts.append(_tail(" ".join(sentences[: sentences.index(following)])))
            reports.append(_ten_words(following))
    articles = [
        _ten_words(s) for text in held_out("wiki") for s in _SENTENCE_END.split(text)[1:9] if len(s.split()) >= 10
    ]
    modules = [_ten_words(text[at:]) for text in held_out("code") for at in (800, 1200)]
    rows = []
    for i, (start, true) in enumerate(zip(starts, reports, strict=True)):
        draw = random.Random(f"news {i}")
        wrong = [draw.choice(reports[:i] + reports[i + 1 :]), draw.choice(articles), draw.choice(modules)]
        rows.append({"context": start, **_choices(draw, true, wrong)})
    return _dataset(rows)


def wiki_word_order(**_: Any) -> dict[str, Dataset]:
    """Which is the sentence of the article: as it stands, or with two neighbouring words exchanged."""
    rows = []
    for place in range(4):
        for i, text in enumerate(held_out("wiki")):
            draw = random.Random(f"wiki {i} {place}")
            sentences = _SENTENCE_END.split(text.replace("\n", " "))
            fit = [k for k, s in enumerate(sentences) if k and 8 <= len(s.split()) <= 14]
            if place < len(fit):
                k = fit[place]
                wrong = _exchanged(draw, re.split(r"( )", sentences[k]))
                rows.append({"context": _tail(" ".join(sentences[:k])), **_choices(draw, sentences[k], wrong)})
    return _dataset(rows)


def code_token_order(**_: Any) -> dict[str, Dataset]:
    """Which is the next line of the module: as it stands, or with two neighbouring tokens exchanged."""
    rows = []
    for place in range(4):
        for i, text in enumerate(held_out("code")):
            draw = random.Random(f"code {i} {place}")
            lines = text.splitlines()
            fit = [k for k, line in enumerate(lines) if k > 20 and _fits(line)]
            if fit:
                k = draw.choice(fit)
                true = lines[k].strip()
                pieces = [piece for pair in _TOKEN.findall(true) for piece in pair][:-1]
                indent = lines[k][: len(lines[k]) - len(lines[k].lstrip())]
                wrong = [indent + line for line in _exchanged(draw, pieces)]
                context = "\n".join(lines[:k])[-_CONTEXT:].partition("\n")[2]
                rows.append({"context": context, **_choices(draw, indent + true, wrong)})
    return _dataset(rows)


def _texts(corpus: str) -> list[str]:
    return [row["text"] for row in _CORPORA[corpus]()["test"]]


def _tail(text: str) -> str:
    """The last characters, from the beginning of a word."""
    return text if len(text) <= _CONTEXT else text[-_CONTEXT:].partition(" ")[2]


def _fits(line: str) -> bool:
    """Neither a comment nor a ruler: a line of six different tokens at least."""
    return 20 <= len(line.strip()) <= 45 and "#" not in line and len({token for token, _ in _TOKEN.findall(line)}) >= 6


def _ten_words(text: str) -> str:
    return " ".join(text.split()[:10])


def _exchanged(draw: random.Random, pieces: list[str]) -> list[str]:
    """Three different texts, each with two neighbouring tokens exchanged; ``pieces`` alternate token and gap."""
    found = []
    for j in range(0, len(pieces) - 2, 2):
        text = "".join([*pieces[:j], pieces[j + 2], pieces[j + 1], pieces[j], *pieces[j + 3 :]])
        if text.strip() == text and text not in ("".join(pieces), *found):
            found.append(text)
    return draw.sample(found, _WRONG)


def _choices(draw: random.Random, true: str, wrong: list[str]) -> dict[str, Any]:
    answer = draw.randrange(len(wrong) + 1)
    return {"choices": [*wrong[:answer], true, *wrong[answer:]], "answer": answer}


def _dataset(rows: list[dict[str, Any]]) -> dict[str, Dataset]:
    return {"test": Dataset.from_list(rows)}
