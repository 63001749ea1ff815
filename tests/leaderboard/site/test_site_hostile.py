"""Names, families, tasks, engines and files are anyone's text: all is shown, nothing runs, nothing breaks out."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from made import FAMILIES, HOSTILE, HOSTILE_TASK, made, save
from pages import column, ready

SECRETS = ("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "/home/alice/", "/Users/alice/", "C:\\Users\\alice\\")


def html_pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


class Links(HTMLParser):
    """Collects what a page refers to, and what can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.to: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.to += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids += [value for name, value in attrs if name == "id" and value]
        assert not [name for name, _ in attrs if name.startswith("on")], (tag, attrs)


def test_every_link_of_every_page_leads_to_something(made_site: Path) -> None:
    known = {page: Links(page.read_text(encoding="utf-8")) for page in html_pages(made_site)}
    assert len(known) > 45
    for page, links in known.items():
        assert len(set(links.ids)) == len(links.ids), page
        for link in links.to:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                assert parts.scheme == "data" or parts.netloc in ("arxiv.org", "huggingface.co", "pypi.org"), link
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.is_relative_to(made_site) and target.is_file(), (page.name, link)
            if parts.fragment and "=" not in parts.fragment:
                assert parts.fragment in known[target].ids, (page.name, link)


def test_nothing_runs_on_any_page(page: Any, made_site: Path) -> None:
    for path in html_pages(made_site):
        page.goto(path.as_uri())
        for details in page.locator("details").all():
            details.evaluate("d => { d.open = true }")
        page.wait_for_timeout(30)
        assert page.evaluate("window.pwned") is None, path
        assert page.locator("[onerror], [onclick]").count() == 0, path


def test_all_names_are_shown_as_they_are(page: Any, made_site: Path) -> None:
    page.goto(f"file://{made_site}/index.html")
    ready(page)
    shown = {"".join(name.split("\n")) for name in column(page, "Model")}
    for name in HOSTILE:
        if name.startswith(".."):
            assert "passwd" in shown
        else:
            assert any(
                name.replace("\u202e", "‹U+202E›").replace("\n", mark) in shown for mark in ("", " ", "‹U+000A›")
            )
    assert set(FAMILIES) <= set(page.locator("#family option").all_text_contents())
    assert set(FAMILIES) <= set(column(page, "Family"))
    for name in HOSTILE[:2]:
        page.locator("#board").get_by_role("link", name=name, exact=True).click()
        assert page.inner_text("h1") == name and page.evaluate("window.pwned") is None
        page.go_back()
        ready(page)
    # A search for it is a search for a text, and neither a pattern nor markup.
    for name in HOSTILE[:2]:
        page.fill("#search", name)
        assert column(page, "Model") == [name]
    page.fill("#search", "")
    page.select_option("#family", FAMILIES[1])
    assert page.locator("#chips button").inner_text() == f"Family: {FAMILIES[1]} ✕"
    assert set(column(page, "Family")) == {FAMILIES[1]}


def test_hostile_names_in_tooltips_lists_and_comparisons(page: Any, made_site: Path) -> None:
    page.goto(f"file://{made_site}/index.html")
    ready(page)
    for name in HOSTILE[:2]:
        page.fill("#search", name)
        page.locator("#board [data-compare]").check()
    page.click("#compare")
    page.wait_for_selector("#profiles svg")
    assert page.locator("#comparison thead a").all_text_contents() == list(HOSTILE[:2])
    options = page.eval_on_selector_all("#names option", "os => os.map(o => o.value)")
    assert set(HOSTILE[:2]) <= set(options) and len(options) == 40
    page.fill("#add", HOSTILE[6])
    page.dispatch_event("#add", "change")
    page.wait_for_function("document.querySelectorAll('#comparison thead a').length === 3")
    page.locator("#profiles svg path[aria-roledescription=point]").first.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible")
    page.goto(f"file://{made_site}/index.html")
    figure = page.locator("figure[data-chart=size]")
    figure.scroll_into_view_if_needed()
    page.wait_for_selector("figure[data-chart=size][data-live=yes]")
    seen = set()
    for point in figure.locator("path[aria-roledescription=point]").all()[:40]:
        label = point.get_attribute("aria-label") or ""
        if any(name[:20] in label for name in HOSTILE[:2]):
            point.dispatch_event("pointermove")
            page.wait_for_selector("#vg-tooltip-element.visible")
            seen |= {name for name in HOSTILE[:2] if name in page.inner_text("#vg-tooltip-element")}
    assert seen == set(HOSTILE[:2]) and page.evaluate("window.pwned") is None


def test_hostile_names_side_by_side_are_text(page: Any, made_site: Path, data: dict[str, Any]) -> None:
    at = next(i for i, field in enumerate(data["fields"]) if field["key"] == "model")
    keys = {row[at][0]: row[at][1].removeprefix("models/").removesuffix(".html") for row in data["rows"]}
    for names in (HOSTILE[:4], HOSTILE[5:9]):
        # Shown as it is made safe for a page, the third is what is left of it.
        chosen = [key for name, key in keys.items() if any(shown_like(name, one) for one in names)]
        assert len(chosen) == 4
        page.goto("about:blank")
        page.goto(f"file://{made_site}/compare.html#compare={','.join(chosen)}")
        page.wait_for_selector("#profiles svg")
        assert page.locator("#comparison thead a").count() == 4 and page.evaluate("window.pwned") is None


def shown_like(shown: str, name: str) -> bool:
    return shown == ("passwd" if name.startswith("..") else name.replace("\u202e", "‹U+202E›"))


def test_no_name_makes_a_path(made_site: Path) -> None:
    assert {p.name for p in made_site.parent.iterdir()} == {"overrides.yaml", "results", "site", ".site-cache"}
    assert all(re.fullmatch(r"[a-z0-9-]+\.html", p.name) and len(p.name) < 90 for p in made_site.glob("models/*/*"))
    assert len(list(made_site.glob("models/*/*.html"))) == 40


def test_a_hostile_task_and_a_broken_files_name_are_text(page: Any, made_site: Path) -> None:
    page.goto(f"file://{made_site}/index.html")
    assert "<script>pwned=1</results_2026" in page.inner_text("#skipped + ul")
    page.locator(".verdicts").get_by_role("link", name=HOSTILE_TASK, exact=True).click()
    assert page.inner_text("h1") == HOSTILE_TASK and "Not enough models" in page.inner_text(".lead")
    assert page.evaluate("window.pwned") is None


def test_downloads_of_hostile_names_start_no_formula(page: Any, made_site: Path, tmp_path: Path) -> None:
    page.goto(f"file://{made_site}/index.html#cols=family")
    ready(page)
    for kind in ("csv", "json"):
        with page.expect_download() as waiting:
            page.click(f"#{kind}")
        waiting.value.save_as(tmp_path / kind)
    head, *lines = csv.reader((tmp_path / "csv").open(encoding="utf-8", newline=""))
    assert head == ["Model", "Family"] and len(lines) == 40 and all(len(line) == 2 for line in lines)
    assert not [cell for line in lines for cell in line if cell[:1] in "=+-@\t\r"]
    names = [item["model"][0] for item in json.loads((tmp_path / "json").read_text(encoding="utf-8"))]
    assert [line[0].removeprefix("'") for line in lines] == names
    assert HOSTILE[5] in names and "'=1+1" in {line[1] for line in lines}


@pytest.mark.parametrize("page_of", ["index.html", "compare.html", "changelog.html", "domains.html", "task", "model"])
def test_no_name_is_wider_than_a_phone(browser: Any, made_site: Path, page_of: str) -> None:
    long = next(made_site.glob("models/*/mmmm*.html"))
    path = {"task": "tasks/piqa.html", "model": long.relative_to(made_site).as_posix()}.get(page_of, page_of)
    key = "/".join([long.parent.name, long.stem])
    context = browser.new_context(viewport={"width": 390, "height": 850})
    page = context.new_page()
    page.goto(f"file://{made_site / path}" + (f"#compare={key}" if page_of == "compare.html" else ""))
    if page_of == "index.html":
        ready(page)
    if page_of == "compare.html":
        page.wait_for_selector("#profiles svg")
    page.wait_for_timeout(200)
    width = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert width <= 390


def test_a_secret_in_any_text_of_a_results_file_reaches_no_output(tmp_path: Path) -> None:
    for secret in SECRETS:
        run = made("org/a")
        run |= {"system_instruction": "x", "chat_template": "x", "model_source": "hf", "git_hash": "x"}
        run["config"] |= {"gen_kwargs": {"a": "x"}, "batch_sizes": [], "use_cache": "x", "model_revision": "x"}
        run["config"]["model_args"] |= {"peft": "x", "tokenizer": "x", "token": "x", "quantization": "x"}
        stamp = f"2026-01-{SECRETS.index(secret) + 1:02d}"
        save(tmp_path / "results", f"__home__alice__m{SECRETS.index(secret)}", _planted(run, secret), stamp)
    build([str(tmp_path / "results")], tmp_path / "site", read_conventions())
    leaks = {
        (file.name, secret)
        for file in (tmp_path / "site").rglob("*")
        if file.is_file()
        for secret in (SECRETS[0].encode(), b"/alice", b"alice/", b"\\alice", b"alice\\", b"__alice")
        if secret in file.read_bytes()
    }
    assert leaks == set() and len(list((tmp_path / "site").glob("models/*/*.html"))) == len(SECRETS)


def _planted(value: Any, secret: str) -> Any:
    """Every text with the secret in it, but for the names that tie the parts of a file together."""
    if isinstance(value, dict):
        return {k: v if k in ("base_task", "kind") else _planted(v, secret) for k, v in value.items()}
    if isinstance(value, list):
        return [_planted(item, secret) for item in value]
    return f"{secret}{value}" if isinstance(value, str) else value
