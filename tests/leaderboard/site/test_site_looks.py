"""Hostile names, long names and missing values in every light and width: readable, reachable, nothing in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from pages import ready

PAGES = ("index.html", "tasks/piqa.html", "compare.html", "changelog.html", "domains.html", "method.html", "model")


def visit(page: Any, site: Path, path: str) -> None:
    """Opens a page, and scrolls through it so that its charts are live."""
    models = sorted(site.glob("models/*/*.html"))
    if path == "model":
        path = next(m for m in models if m.name.startswith("mmmm")).relative_to(site).as_posix()
    keys = ",".join(f"{m.parent.name}/{m.stem}" for m in models[:4])
    page.goto(f"file://{site / path}" + (f"#compare={keys}" if path == "compare.html" else ""))
    if path == "index.html":
        ready(page)
        page.fill("#search", "o")
        page.fill("#min", "0.1")
        page.locator("#board [data-compare]").first.check()
        page.locator("summary", has_text="Columns").click()
    if path == "compare.html":
        page.wait_for_selector("#profiles svg")
    for figure in page.locator("figure[data-chart]").all():
        figure.scroll_into_view_if_needed()
        name = figure.get_attribute("data-chart")
        page.wait_for_selector(f"figure[data-chart='{name}'][data-live=yes]")
    for details in page.locator("details").all():
        details.evaluate("d => { d.open = true }")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), pytest.param("dark", 390, marks=pytest.mark.slow)])
def test_axe_finds_nothing_with_filters_and_everything_open(
    browser: Any, made_site: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page = context.new_page()
    found = {}
    for path in PAGES:
        visit(page, made_site, path)
        found[path] = [(v["id"], [n["html"][:150] for n in v["nodes"][:2]]) for v in Axe().run(page)["violations"]]
    context.close()
    assert found == {path: [] for path in PAGES}


def _luminance(colour: str) -> float:
    channels = [int(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_in_live_charts_stands_out_from_the_page(browser: Any, made_site: Path, scheme: str) -> None:
    """Axe does not look into pictures."""
    context = browser.new_context(viewport={"width": 1280, "height": 850}, color_scheme=scheme)
    page = context.new_page()
    for path in ("index.html", "tasks/piqa.html", "compare.html"):
        visit(page, made_site, path)
        ground = _luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (ground < 0.05) == (scheme == "dark")
        # But for the numbers on cells, whose ground is the cell.
        fills = page.evaluate(
            """[...new Set([...document.querySelectorAll('.chart svg text, #profiles svg text, .profile text')]
            .filter(t => t.textContent.trim() && !t.closest('.role-mark')).map(t => getComputedStyle(t).fill))]"""
        )
        assert fills
        for fill in fills:
            light, dark = sorted((_luminance(fill), ground), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (path, fill)
    context.close()


def test_the_table_scrolls_within_itself_on_a_phone(browser: Any, made_site: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 850}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"file://{made_site}/index.html")
    ready(page)
    inner, outer = page.evaluate(
        "[...['scrollWidth', 'clientWidth'].map(k => document.querySelector('#models-table')[k])]"
    )
    assert inner > outer and page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#board thead th", has_text="Coverage").scroll_into_view_if_needed()
    page.locator("#board thead th", has_text="Coverage").tap()
    page.wait_for_function("location.hash.includes('sort=')")
    small = page.evaluate(
        """[...document.querySelectorAll('.controls input, .controls select, .controls button, nav a')]
        .filter(e => e.checkVisibility()).map(e => [e.id || e.textContent, e.getBoundingClientRect()])
        .filter(([, box]) => box.height < 16 || box.width < 16).map(([name]) => name)"""
    )
    context.close()
    assert small == []


def test_every_stop_of_the_tab_key_is_seen_and_within_the_page(page: Any, made_site: Path) -> None:
    page.goto(f"file://{made_site}/index.html")
    ready(page)
    stops = []
    for _ in range(45):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                """(() => { const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
                return [e.id || e.textContent.slice(0, 20),
                        s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,
                        b.bottom > 0 && b.top < innerHeight && b.right > 0 && b.left < innerWidth]; })()"""
            )
        )
    assert [stop for stop in stops if not stop[1]] == [], "no ring"
    assert [stop for stop in stops if not stop[2]] == [], "out of sight"
    assert {"search", "family", "min", "max", "complete", "csv", "json"} <= {stop[0] for stop in stops}
