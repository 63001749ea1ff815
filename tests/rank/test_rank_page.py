"""The page in a real browser: hostile texts, both lights, a phone; and what it says of what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_core_python.sync_playwright import Axe
from made_documents import made

from lm_eval_dispersion.rank import Documents, Ranking, page_of, slices_of, why_no_yardstick, yardstick

HOSTILE = (
    "<script>window.pwned=1</script><img src=x onerror='window.pwned=2'> and a question",
    "</pre></details></table><h1>Another page</h1>",
    "abc\u202egnp.exe \u2066isolated\u2069 \x1b[31m \x00 end",
    "{{ 7 * 7 }} {% for i in range(9) %}x{% endfor %}",
    "x" * 3000,
    "שאלה בעברית? אחת",
    "",
)


def ranking(documents: Documents, slices: str | None = None) -> Ranking:
    by = documents.signal("dispersion")
    why = why_no_yardstick(documents)
    found = None if why else yardstick(documents, resamples=100)
    return Ranking(documents, by, found, why, slices_of(documents, by, slices) if slices else None)


def hostile(n: int = 40) -> Ranking:
    rng = np.random.default_rng(0)
    names = ("<b>bold</b>", "\u202eesrever", "plain", "y" * 300)
    documents = made(
        rng.random(n) < 0.5,
        texts=[HOSTILE[i] if i < len(HOSTILE) else f"Question {i}?" for i in range(n)],
        fields=[{"kind": names[i % 4]} for i in range(n)],
        dispersion=np.arange(n) / n,
        dispersion_at_0=rng.random(n),
        length=rng.integers(5, 50, n),
        confidence=rng.random(n),
    )
    return ranking(replace(documents, task=f"dispersion_{'n' * 80}", model=f"<i>/{'m' * 100}"), "kind")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "rank.html"
    file.write_text(page_of(hostile(), top=20), encoding="utf-8")
    return file


def test_texts_are_shown_and_not_obeyed(page: Any, file: Path) -> None:
    page.goto(f"file://{file}")
    assert page.locator("details[open]").count() == 0
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("window.pwned") is None
    assert page.locator("h1").count() == 1 and page.locator("img, script, i").count() == 0
    texts = page.locator("tbody pre").all_inner_texts()
    assert texts[0] == HOSTILE[0] and texts[1] == HOSTILE[1] and texts[3] == HOSTILE[3]
    assert texts[2] == "abc[U+202E]gnp.exe [U+2066]isolated[U+2069] \ufffd[31m \ufffd end"
    assert page.locator("summary").nth(5).inner_text() == HOSTILE[5]
    assert page.locator("summary").nth(6).inner_text() == "(no text)"
    assert [page.locator("bdi", has_text=name).count() for name in ("<b>bold</b>", "esrever")] == [1, 1]
    assert "\u202e" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_and_it_is_no_wider_than_the_screen(
    browser: Any, file: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"file://{file}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = [(v["id"], [n["html"][:150] for n in v["nodes"][:2]]) for v in Axe().run(page)["violations"]]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    assert found == []
    assert (sum(map(int, background[4:-1].split(","))) < 150) == (scheme == "dark")


def test_the_page_asks_for_nothing_from_anywhere(browser: Any, file: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{file}")
    page.close()
    assert asked == [f"file://{file}"]


def test_rows_that_are_left_out_are_said(tmp_path: Path) -> None:
    many = ranking(made(dispersion=np.arange(1234.0)))
    page = page_of(many, top=20)
    assert "The hardest 500 of 1,234; " in page and page.count("<details ") == 500
    assert page_of(many, top=600).count("<details ") == 600
    assert "All 30 are here." in page_of(ranking(made(dispersion=np.arange(30.0))), top=20)


def test_without_labels_the_page_says_that_nothing_says_what_the_order_is_worth() -> None:
    page = page_of(ranking(made(dispersion=np.arange(30.0))), top=20)
    assert "cannot be said: no labels: no metric of it is 0 or 1 for every document." in page
    assert ">answer<" not in page and "AUROC" not in page
