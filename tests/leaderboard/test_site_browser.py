"""The pages as a visitor has them: sorted, shared, compared, downloaded, by keyboard, in the dark, on a phone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from axe_core_python.sync_playwright import Axe
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from pages import column, ready, rows, served, sort_by

EXAMPLE = Path(__file__).parent / "example"
SMOL = "SmolLM2-135M-Instruct"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    build([str(EXAMPLE / "results")], out, read_conventions(EXAMPLE / "overrides.yaml"))
    return out


@pytest.fixture(scope="module")
def table(site: Path) -> pd.DataFrame:
    """What the pages were made from, read by somebody else."""
    return pd.read_parquet(site / "data" / "records.parquet")


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


def every_page(site: Path) -> list[str]:
    kinds = ["index.html", "method.html", "compare.html", "domains.html", "changelog.html"]
    kinds += [min(site.glob("tasks/*.html")).relative_to(site).as_posix()]
    return [*kinds, min(site.glob("models/*/*.html")).relative_to(site).as_posix()]


def test_every_page_opens_from_a_file_and_over_http_without_a_complaint(page: Any, site: Path, address: str) -> None:
    for path in every_page(site):
        for url in (f"file://{site / path}", f"{address}/{path}"):
            page.goto(url)
            assert page.locator("h1").count() == 1
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.wait_for_timeout(150)


def test_a_heading_sorts_and_what_is_missing_stays_last(page: Any, site: Path, table: pd.DataFrame) -> None:
    page.goto(f"file://{site}/index.html")
    ready(page)
    chosen = table[(table["task"] == "dispersion_demo_wiki") & (table["metric"] == "dispersion")]
    values = sorted(round(v, 3) for v in chosen["value"])
    head = page.locator("#board thead th", has_text="D demo_wiki")
    sort_by(page, head)
    assert [float(t.split()[0]) for t in column(page, "D demo_wiki")] == pytest.approx(values[::-1], abs=1e-3)
    sort_by(page, head)
    assert [float(t.split()[0]) for t in column(page, "D demo_wiki")] == pytest.approx(values, abs=1e-3)
    page.evaluate("window.LEADERBOARD.rows[0][3] = null; new DataTable.Api('#board').rows().invalidate()")
    for way in ("asc", "desc"):
        page.evaluate(f"new DataTable.Api('#board').order([[3, '{way}']]).draw()")
        assert column(page, "Parameters")[-1] == "–"


def test_filters_say_what_they_hide_and_go_away_by_their_chips(page: Any, site: Path, table: pd.DataFrame) -> None:
    page.goto(f"file://{site}/index.html")
    ready(page)
    everyone, smol = table["entry"].nunique(), table.loc[table["family"] == "SmolLM2", "entry"].nunique()
    page.select_option("#family", "SmolLM2")
    assert set(column(page, "Family")) == {"SmolLM2"} and len(rows(page)) == smol
    assert f"{smol} of {everyone} models shown, {everyone - smol} hidden" in page.inner_text("#status")
    page.fill("#min", "0.13")
    large = (table["family"] == "SmolLM2") & (table["parameters"] >= 0.13e9)
    assert len(rows(page)) == table.loc[large, "entry"].nunique() < smol
    page.get_by_role("button", name="Remove filter Family: SmolLM2").click()
    assert len(rows(page)) == table.loc[table["parameters"] >= 0.13e9, "entry"].nunique()
    page.fill("#search", "no such model")
    assert "No model passes the filters" in page.inner_text("#board tbody")


def test_the_address_restores_everything_and_survives_nonsense(browser: Any, page: Any, site: Path) -> None:
    page.goto(f"file://{site}/index.html")
    ready(page)
    page.fill("#search", "minus")
    sort_by(page, page.locator("#board thead th", has_text="Parameters"))
    page.locator("summary", has_text="Columns").click()
    page.uncheck("[data-column=precision]")
    page.check("[data-column=engine]")
    page.locator("#board [data-compare]").nth(1).check()
    shared, seen = page.url, rows(page)
    assert "hash" not in shared and "sort=-parameters" in shared
    other = browser.new_page()
    other.goto(shared)
    ready(other)
    assert rows(other) == seen and other.input_value("#search") == "minus"
    assert other.locator("#board [data-compare]").nth(1).is_checked() and not other.locator("#tray").is_hidden()
    other.goto("about:blank")
    other.goto(
        f"file://{site}/index.html#sort=-nothing,constructor&cols=&compare=../../x,__proto__&family=<b>&min=x&q=%00"
    )
    ready(other)
    assert "models shown" in other.inner_text("#status")
    other.close()


def test_a_parent_page_is_told_the_state(page: Any, site: Path, address: str) -> None:
    page.goto(f"{address}/method.html")
    page.evaluate(
        """url => { const f = document.createElement('iframe'); f.src = url; f.width = 1200; f.height = 800;
        document.body.prepend(f); }""", f"{address}/index.html")  # fmt: skip
    frame = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_selector("#board[data-ready=yes]")
    frame.evaluate("window.told = []; window.parent.postMessage = (m, to) => window.told.push([m, to])")
    frame.fill("#search", "neox")
    assert frame.evaluate("window.told.at(-1)") == [
        {"queryString": "", "hash": "q=neox"},
        "https://huggingface.co",
    ]


def test_downloads_hold_exactly_the_shown_view(page: Any, site: Path, tmp_path: Path) -> None:
    page.goto(f"file://{site}/index.html#family=SmolLM2&sort=-parameters&cols=parameters,dispersion-demo-wiki")
    ready(page)
    shown = rows(page)
    with page.expect_download() as waiting:
        page.click("#csv")
    waiting.value.save_as(tmp_path / "a.csv")
    head, *lines = csv.reader((tmp_path / "a.csv").open(encoding="utf-8"))
    assert head == ["Model", "Parameters", "D demo_wiki", "D demo_wiki, standard error"]
    assert [line[0] for line in lines] == [row[0] for row in shown]
    assert [f"{float(d):.3f} ± {float(e):.3f}" for _, _, d, e in lines] == [row[2] for row in shown]
    with page.expect_download() as waiting:
        page.click("#json")
    waiting.value.save_as(tmp_path / "a.json")
    items = json.loads((tmp_path / "a.json").read_text())
    assert [item["model"][0] for item in items] == [row[0] for row in shown]
    assert set(items[0]) == {"model", "parameters", "dispersion-demo-wiki"}
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Parquet", exact=True).click()
    waiting.value.save_as(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (site / "data" / "records.parquet").read_bytes()


def test_a_model_is_opened_and_its_predictions_are_those_of_the_overview(page: Any, site: Path) -> None:
    page.goto(f"file://{site}/index.html")
    ready(page)
    page.get_by_role("link", name=SMOL, exact=True).click()
    assert page.inner_text("h1") == SMOL
    assert "lm_eval --model hf --model_args pretrained=SmolLM2-135M-Instruct" in page.inner_text("pre >> nth=0")
    page.click("#predictions summary")
    shown = page.inner_text("#predictions table")
    page.goto(f"file://{site}/index.html#cols=predicted-accuracy-news-next-words-first-40&q={SMOL}&sort=model")
    ready(page)
    predicted = dict(zip(column(page, "Model"), column(page, "news_next_words (first 40), predicted"), strict=True))[
        SMOL
    ]
    assert predicted != "–" and predicted in shown


def test_four_models_are_compared_and_the_address_says_which(page: Any, site: Path, table: pd.DataFrame) -> None:
    page.goto(f"file://{site}/index.html")
    ready(page)
    names = [row[1] for row in rows(page)][:5]
    for name in names:
        page.get_by_label(f"Compare {name}", exact=True).check()
    assert not page.get_by_label(f"Compare {names[0]}", exact=True).is_checked()
    page.click("#compare")
    page.wait_for_selector("#profiles svg")
    heads = page.eval_on_selector_all("#comparison thead a", "as => as.map(a => a.textContent)")
    assert heads == names[1:]
    wiki = table[(table["task"] == "dispersion_demo_wiki") & (table["metric"] == "dispersion")].set_index("model")[
        "value"
    ]
    line = page.locator("#comparison tr", has_text="D demo_wiki").inner_text()
    assert all(f"{wiki[name]:.3f}" in line for name in heads)
    page.reload()
    page.wait_for_selector("#profiles svg")
    assert page.eval_on_selector_all("#comparison thead a", "as => as.map(a => a.textContent)") == heads


def test_the_chart_library_is_loaded_only_when_a_chart_is_on_screen(page: Any, site: Path, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 1280, "height": 300})
    page.goto(f"{address}/index.html")
    ready(page)
    page.wait_for_timeout(300)
    assert not any("vega" in url for url in asked)
    page.locator("figure[data-chart=size]").scroll_into_view_if_needed()
    page.wait_for_selector("figure[data-chart=size][data-live=yes]")
    page.locator("figure[data-chart=size] path[aria-roledescription=point]").last.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "model" in page.inner_text("#vg-tooltip-element")


def test_the_first_rows_say_the_same_without_javascript(browser: Any, page: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    plain = context.new_page()
    plain.goto(f"file://{site}/index.html")
    html = plain.content()
    still = plain.locator("#board tbody tr").all_inner_texts()
    pictures = plain.locator("figure img")
    assert pictures.count() >= 2
    for i in range(pictures.count()):
        pictures.nth(i).scroll_into_view_if_needed()
        assert pictures.nth(i).get_attribute("alt")
        assert (pictures.nth(i).bounding_box() or {"height": 0})["height"] > 100
    assert not plain.locator(".controls").is_visible() and "families left out" in html
    context.close()
    page.goto(f"file://{site}/index.html")
    ready(page)
    clean = [" ".join(row.split()) for row in still]
    assert clean == [" ".join(" ".join(row).split()) for row in rows(page)]


def test_by_keyboard_alone(page: Any, site: Path) -> None:
    page.goto(f"file://{site}/index.html")
    ready(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    for _ in range(5):
        if page.evaluate("document.activeElement.id") == "search":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("gpt2")
    assert all("gpt2" in name for name in column(page, "Model"))
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('#board thead')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('sort=')")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in [(1280, "dark"), (390, "light"), (390, "dark")]),
    ],
)
def test_axe_finds_nothing_in_light_and_dark_on_desktop_and_phone(
    browser: Any, site: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page = context.new_page()
    found = {}
    for path in every_page(site):
        page.goto(f"file://{site / path}")
        if path == "index.html":
            ready(page)
        if path == "compare.html":
            keys = [f"{m.parent.name}/{m.stem}" for m in sorted(site.glob("models/*/*.html"))[:2]]
            page.goto(f"file://{site / path}#compare={','.join(keys)}")
            page.reload()
            page.wait_for_selector("#profiles svg")
        for y in range(0, page.evaluate("document.body.scrollHeight"), 700):
            page.evaluate(f"scrollTo(0, {y})")
            page.wait_for_timeout(60)
        found[path] = [(v["id"], [n["html"][:150] for n in v["nodes"][:2]]) for v in Axe().run(page)["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 150) == (scheme == "dark")
    context.close()
    assert found == {path: [] for path in found}
