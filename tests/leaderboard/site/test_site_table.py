"""The overview's table against the data behind it: order, filters, columns, texts, and the address that restores it."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dispersion_leaderboard.site._overview as overview
import pytest
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from dispersion_leaderboard.site._fields import Field, text_of
from made import made, save
from pages import column, ready, rows, served, sort_by

Data = dict[str, Any]


@pytest.fixture
def index(made_site: Path) -> str:
    return f"file://{made_site}/index.html"


def names(data: Data, keep: Any = lambda row: True) -> list[str]:
    """The models of the rows that pass, in the order of the data."""
    at = position(data, "model")
    return [row[at][0] for row in data["rows"] if keep(row)]


def position(data: Data, key: str) -> int:
    return next(i for i, field in enumerate(data["fields"]) if field["key"] == key)


def shown_keys(page: Any) -> list[str]:
    """In order of the names on the page, the place of each row's own page: names may be cut or doubled."""
    keys: list[str] = page.eval_on_selector_all("#board tbody th a", "as => as.map(a => a.getAttribute('href'))")
    return keys


def test_every_heading_sorts_both_ways_as_the_data_says(page: Any, index: str, data: Data) -> None:
    page.goto(index)
    ready(page)
    page.locator("summary", has_text="Columns").click()
    for box in page.locator("[data-column]").all():
        box.check()
    model = position(data, "model")
    for i, field in enumerate(data["fields"]):
        cells = {row[model][1]: row[i] for row in data["rows"]}
        head = page.locator("#board thead th").nth(i)
        ways = []
        for _ in range(2):
            sort_by(page, head)
            order = [cells[key] for key in shown_keys(page)]
            keys = [_sort_key(cell) for cell in order if not _empty(cell)]
            assert all(map(_empty, order[len(keys) :])), f"{field['key']}: a missing value is not last"
            assert keys in (sorted(keys), sorted(keys, reverse=True)), field["key"]
            ways.append(keys)
        assert ways[0] == ways[1][::-1], field["key"]
        told = page.evaluate("new URLSearchParams(location.hash.slice(1)).get('sort')")
        assert told.removeprefix("-") == field["key"]


def _empty(cell: Any) -> bool:
    return cell is None or cell == ""


def _sort_key(cell: Any) -> Any:
    first = cell[0] if isinstance(cell, list) else cell
    return first.lower() if isinstance(first, str) else first


def test_size_and_completeness_filter_as_the_data_says(page: Any, index: str, data: Data) -> None:
    size, coverage = position(data, "parameters"), position(data, "coverage")
    page.goto(index)
    ready(page)
    page.fill("#min", "0.3")
    page.fill("#max", "2")
    expected = names(data, lambda r: r[size] is not None and 0.3e9 <= r[size] <= 2e9)
    assert sorted(shown_names(page)) == sorted(expected) and 0 < len(expected) < 40
    chips = page.locator("#chips button").all_inner_texts()
    assert chips == ["Parameters from: 0.3 billion ✕", "Parameters to: 2 billion ✕"]
    page.get_by_label("complete only").check()
    whole = names(data, lambda r: r[size] is not None and 0.3e9 <= r[size] <= 2e9 and not r[coverage][2])
    assert sorted(shown_names(page)) == sorted(whole)
    for _ in range(3):
        page.locator("#chips button").first.click()
    assert len(rows(page)) == 40 and page.inner_text("#status") == "40 of 40 models shown, none hidden."
    assert page.input_value("#min") == "" and not page.is_checked("#complete") and "#" not in page.url


def shown_names(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#board tbody th a", "as => as.map(a => a.textContent)")
    return found


def test_the_picker_shows_and_hides_columns(page: Any, index: str, data: Data) -> None:
    page.goto(index)
    ready(page)
    page.locator("summary", has_text="Columns").click()
    boxes = {b.get_attribute("data-column"): b for b in page.locator("[data-column]").all()}
    assert set(boxes) == {f["key"] for f in data["fields"]} - {"model"}
    label = {f["key"]: f["label"] for f in data["fields"]}
    heads = page.locator("#board thead th")
    assert heads.all_inner_texts() == [f["label"] for f in data["fields"] if f["shown"]]
    for key in ("prompts-piqa", "engine"):
        boxes[key].check()
        assert label[key] in heads.all_inner_texts()
    at, model = position(data, "prompts-piqa"), position(data, "model")
    field = Field(**data["fields"][at])
    texts = {r[model][0]: text_of(field, r[at]) for r in data["rows"]}
    assert dict(zip(shown_names(page), column(page, label["prompts-piqa"]), strict=True)) == texts
    for box in boxes.values():
        box.uncheck()
    assert heads.all_inner_texts() == ["Model"]


def test_the_first_rows_and_the_live_ones_are_written_alike(page: Any, index: str, data: Data) -> None:
    """Python writes the rows that stand in the page, the script those that replace them."""
    page.goto(index)
    ready(page)
    cells = [[f, row[i]] for row in data["rows"] for i, f in enumerate(data["fields"])]
    rng = random.Random(0)
    # Halves that are exact in binary are where two ways of rounding part; so are the steps between units.
    ties = [k / 2**n for n in range(1, 12) for k in (1, 3, 5, 7, 2**n - 1)] + [rng.random() for _ in range(300)]
    number, percent, count = ({"type": t} for t in ("number", "percent", "count"))
    cells += [[number, [s * t, t]] for t in ties for s in (1, -1)] + [[percent, [t, None]] for t in ties]
    cells += [[number, [0.0, 0.0]], [number, [-0.0, None]], [percent, [-0.000001, None]]]
    cells += [[{"type": "interval"}, [t, t / 2, t / 3]] for t in ties]
    cells += [[count, round(t * 10**n)] for t in ties for n in range(2, 14)]
    cells += [[count, n] for n in (0, 1, 999, 1000, 999_949, 999_950, 102_500_000, 1_250_000_000, 99_950_000)]
    written = page.evaluate("cells => cells.map(([field, cell]) => window.Cells.text(field, cell))", cells)
    for (field, cell), text in zip(cells, written, strict=True):
        assert text_of(Field("", "", "", field["type"], True), cell) == text, (field["type"], cell)


def test_a_place_on_the_page_in_the_address_changes_no_state(page: Any, index: str) -> None:
    page.goto(index)
    ready(page)
    page.fill("#search", "x1")
    page.locator("#board [data-compare]").first.check()
    seen = rows(page)
    page.locator("nav").get_by_role("link", name="Benchmarks").click()
    page.keyboard.press("Control+Home")
    page.evaluate("document.querySelector('.skip').click()")
    page.wait_for_timeout(100)
    assert rows(page) == seen and page.input_value("#search") == "x1"
    assert page.locator("#board [data-compare]:checked").count() == 1
    sort_by(page, page.locator("#board thead th", has_text="Parameters"))
    state = page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    assert state["q"] == "x1" and state["sort"] == "-parameters" and "compare" in state


def test_a_nonsense_address_leaves_a_table_that_works(page: Any, index: str) -> None:
    hash_ = (
        "sort=-nothing,constructor,__proto__,&cols=toString,,family&compare=../../x,__proto__&family=<b>&min=x&max=-"
    )
    page.goto(f"{index}#{hash_}&q=%00%E0%A4%A&complete=7&engine=javascript:1")
    ready(page)
    page.fill("#search", "x2-")
    assert page.locator("#board thead th").all_inner_texts() == ["Model", "Family"]
    assert len(rows(page)) == 6
    sort_by(page, page.locator("#board thead th", has_text="Family"))
    # Written back is only what is known.
    state = page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    assert state == {"q": "x2-", "sort": "family", "cols": "family"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A board so large that its rows are fetched only when a visitor wants them, on a small scale."""
    folder = tmp_path_factory.mktemp("large")
    for i in range(12):
        save(folder / "results", f"m{i}", made(f"org/m{i:02d}", i))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "_EAGER", 5)
        patch.setattr(overview, "_FIRST_ROWS", 4)
        build([str(folder / "results")], folder / "site", read_conventions())
    with served(folder / "site") as url:
        yield url


def test_the_rows_of_a_large_board_are_fetched_when_they_are_wanted(browser: Any, large: str) -> None:
    actions = {
        "nothing": lambda page: page.wait_for_timeout(300),
        "an address": lambda page: page.goto(f"{large}/index.html#q=m11"),
        "a heading": lambda page: page.locator("#board thead th", has_text="Parameters").click(),
        "a key": lambda page: page.focus("#search"),
        "an anchor": lambda page: page.evaluate("location.hash = 'benchmarks'") or page.wait_for_timeout(300),
    }
    for name, act in actions.items():
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto("about:blank" if name == "an address" else f"{large}/index.html")
        act(page)
        wanted = name not in ("nothing", "an anchor")
        if wanted:
            ready(page)
            assert len(rows(page)) == (1 if name == "an address" else 12), name
        else:
            assert "the first 4 are below" in page.inner_text("#status") and len(rows(page)) == 4
        assert any(url.endswith("data/models.js") for url in asked) == wanted, name
        page.close()


def test_downloads_hold_all_pages_of_the_table(page: Any, made_site: Path, data: Data, tmp_path: Path) -> None:
    page.goto(f"file://{made_site}/index.html#sort=accuracy-piqa&cols=rank,coverage,accuracy-piqa")
    ready(page)
    page.evaluate("new DataTable.Api('#board').page.len(10).draw(false)")
    assert len(rows(page)) == 10
    with page.expect_download() as waiting:
        page.click("#csv")
    waiting.value.save_as(tmp_path / "all.csv")
    head, *lines = csv.reader((tmp_path / "all.csv").open(encoding="utf-8", newline=""))
    assert head == [
        "best rank", "worst rank", "tie group", "Model", "measured", "of", "missing", "piqa", "piqa, standard error",
    ]  # fmt: skip
    at, model, missing = position(data, "accuracy-piqa"), position(data, "model"), position(data, "coverage")
    by_name = {row[model][0].lstrip("'"): row for row in data["rows"]}
    assert len(lines) == 40
    shares = [float(line[7]) for line in lines if line[7]]
    assert shares == sorted(shares) and all(not math.isnan(s) for s in shares)
    for line in lines:
        row = by_name[line[3].removeprefix("'")]
        assert [float(line[7]), float(line[8])] == row[at] and line[6] == "; ".join(row[missing][2])
        assert (line[0] == "") == (row[0] is None)
