"""Models side by side: which, in what order, what is marked, what is drawn, and the address that says so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

Data = dict[str, Any]


@pytest.fixture
def models(data: Data) -> list[tuple[str, str, list[Any]]]:
    """(key in an address, name, row) of models with plain names."""
    at = next(i for i, field in enumerate(data["fields"]) if field["key"] == "model")
    found = [(row[at][1][len("models/") : -len(".html")], row[at][0], row) for row in data["rows"]]
    return [one for one in found if one[1].startswith("org/x")]


def heads(page: Any) -> list[str]:
    found: list[str] = page.locator("#comparison thead a").all_text_contents()
    return found


def open_comparison(page: Any, site: Path, *keys: str) -> None:
    page.goto("about:blank")
    page.goto(f"file://{site}/compare.html#compare={','.join(keys)}")
    page.wait_for_selector("body[data-ready=yes]")


def test_models_are_added_and_removed_and_the_fifth_drops_the_first(
    page: Any, made_site: Path, models: list[Any]
) -> None:
    page.goto(f"file://{made_site}/compare.html")
    page.wait_for_selector("body[data-ready=yes]")
    assert page.is_visible("#none") and heads(page) == []
    names = [name for _, name, _ in models[:5]]
    for i, name in enumerate(names):
        page.fill("#add", name)
        page.keyboard.press("Tab")
        assert heads(page) == names[max(0, i - 3) : i + 1]
        assert page.input_value("#add") == ""
    assert page.inner_text("#said") == "4 of up to 4 models."
    page.fill("#add", "no such model")
    page.keyboard.press("Tab")
    assert heads(page) == names[1:]
    page.get_by_role("button", name=f"Remove {names[2]}", exact=True).press("Enter")
    assert heads(page) == [names[1], *names[3:]] and page.evaluate("document.activeElement.id") == "add"
    assert page.evaluate("new URLSearchParams(location.hash.slice(1)).get('compare')") == ",".join(
        models[i][0] for i in (1, 3, 4)
    )
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert heads(page) == [names[1], *names[3:]]


def test_a_place_on_the_page_and_nonsense_in_the_address_choose_nothing(
    page: Any, made_site: Path, models: list[Any]
) -> None:
    first, second = models[0], models[1]
    open_comparison(page, made_site, first[0], "../../x", "constructor", second[0], first[0], "%00")
    assert heads(page) == [first[1], second[1]]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'main'")
    page.wait_for_timeout(100)
    assert heads(page) == [first[1], second[1]] and first[0].split("/")[1] in page.url
    page.evaluate("key => { location.hash = `compare=${key}` }", second[0])
    page.wait_for_function("document.querySelectorAll('#comparison thead a').length === 1")


def test_what_differs_from_the_first_beyond_its_interval_is_marked(
    page: Any, made_site: Path, models: list[Any], data: Data
) -> None:
    chosen = models[:4]
    open_comparison(page, made_site, *(key for key, _, _ in chosen))
    marked, compared = {}, 0
    for i, field in enumerate(data["fields"]):
        cells = [row[i] for _, _, row in chosen]
        if field["type"] not in ("number", "percent") or all(cell is None for cell in cells):
            continue
        compared += 1
        first = cells[0]
        marked[field["label"]] = [
            bool(
                first
                and c
                and None not in (first[1], c[1])
                and abs(first[0] - c[0]) > 1.96 * math.hypot(first[1], c[1])
            )
            for c in cells
        ]
    lines = page.locator("#comparison tbody tr").all()
    shown = {
        line.locator("th").inner_text(): [
            cell.get_attribute("class").endswith("differs") for cell in line.locator("td").all()
        ]
        for line in lines
    }
    assert compared > 4 and {label: shown[label] for label in marked} == marked
    assert any(map(any, marked.values())) and not all(map(all, marked.values()))
    texts = page.locator("#comparison td.differs").all_inner_texts()
    assert texts and all(text.endswith("≠") for text in texts), "colour alone would say it"


def test_every_layer_of_every_model_is_drawn(page: Any, made_site: Path, models: list[Any]) -> None:
    chosen = models[:3]
    open_comparison(page, made_site, *(key for key, _, _ in chosen))
    page.wait_for_selector("#profiles svg")
    expected = {}
    for key, name, _ in chosen:
        shard = (made_site / "data" / "profiles" / f"{key[:2]}.js").read_text(encoding="utf-8")
        profiles = json.loads(shard.partition("]=")[2].rstrip(";\n"))[f"models/{key}.html"]
        expected[name] = profiles["D wiki"]
    labels = page.locator("#profiles svg path[aria-roledescription=point]").evaluate_all(
        "ps => ps.map(p => p.getAttribute('aria-label'))"
    )
    for name, profile in expected.items():
        assert len(
            [label for label in labels if f"model: {name};" in label or label.endswith(f"model: {name}")]
        ) == len(profile)
    assert page.locator("#profiles figcaption").all_inner_texts() == [
        "D wiki, by relative depth (0 the embeddings, 1 the last hidden state)."
    ]
    assert page.locator("#profiles svg").get_attribute("aria-label").startswith("Chart. D wiki")
