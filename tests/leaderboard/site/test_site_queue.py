"""The queue's page: where each request is and why a model is absent, whoever wrote the queue and however long it is."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.requests import Entry, QueueView, Reason, State
from dispersion_leaderboard.site import build
from dispersion_leaderboard.site._queue_page import REASONS, STATES
from made import HOSTILE, digests, made, save
from pages import column, ready, rows, sort_by

SUITE = "dispersion@1a2b3c4d"
LOG = "\n".join(f"line {i}" for i in range(30)) + "\nRuntimeError: </script><script>window.pwned=1</script>"
STATES_OF = (State.PENDING, State.FINISHED, State.FAILED, State.REJECTED, State.RUNNING, State.CANCELLED)


def key_of(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()[:32]


def entry(model: str, state: State, number: int = 0, **more: Any) -> Entry:
    """Submitted and changed so many minutes into the year."""
    at = f"2026-01-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00Z"
    return Entry(**{"model": model, "suite": SUITE, "submitted": at, "state": state, "since": at, **more})


def queue_of(count: int) -> QueueView:
    """Requests in every state, the first with hostile names, each reason at least once where there are enough."""
    entries, logs = {}, {}
    reasons = list(Reason)
    for number in range(count):
        state = STATES_OF[number % len(STATES_OF)]
        model = HOSTILE[number] if number < len(HOSTILE) else f"org/m-{number}"
        told = state in (State.FAILED, State.REJECTED)
        reason = reasons[number % len(reasons)] if told else None
        detail = f"about {number} <b>bold</b>" if told else ""
        entries[key_of(number)] = entry(model, state, number, reason=reason, detail=detail, attempts=number % 4)
        if state.ended:
            logs[key_of(number)] = LOG
    return QueueView(entries, logs)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured") / "results"
    for number in range(3):
        save(folder, f"m{number}", made(f"org/m-{60 + number}", number))
    return folder


@pytest.fixture(scope="module")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few measured models, and a queue of hundreds, theirs among them."""
    out = tmp_path_factory.mktemp("queued") / "site"
    build([str(results)], out, read_conventions(), queue_of(300))
    return out


@pytest.fixture(scope="module")
def long_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing measured, and 10,000 requests."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "results").mkdir()
    build([str(folder / "results")], folder / "site", read_conventions(), queue_of(10_000))
    return folder / "site"


def address(site: Path) -> str:
    return f"file://{site}/queue.html"


def test_every_state_and_every_reason_has_a_sentence_for_the_visitor() -> None:
    assert set(STATES) == set(State) and set(REASONS) == set(Reason)
    assert all(len(said) > 20 and said.endswith(".") for said in [*REASONS.values(), *STATES.values()])


def test_positions_count_from_the_oldest_and_a_tie_goes_by_the_key() -> None:
    entries = {"b" * 32: entry("org/b", State.PENDING, 5), "a" * 32: entry("org/a", State.PENDING, 5)}
    entries |= {"c" * 32: entry("org/c", State.PENDING, 1), "d" * 32: entry("org/d", State.RUNNING, 0)}
    assert QueueView(entries, {}).positions() == {"c" * 32: 1, "a" * 32: 2, "b" * 32: 3}


def test_a_visitor_finds_a_model_and_reads_why_it_is_absent(page: Any, site: Path) -> None:
    page.goto(address(site))
    ready(page)
    said = {dd.split("\n")[0]: dd for dd in page.locator(".states > div").all_inner_texts()}
    assert set(said) == {f"50 {state.value}" for state in State}
    page.fill("#search", "org/m-20")
    # The search finds what contains it: 20 and 200 to 209.
    assert "org/m-20" in column(page, "Model") and "11 of 300 requests shown" in page.inner_text("#status")
    at = column(page, "Model").index("org/m-20")
    reason = list(Reason)[20 % len(Reason)]
    assert column(page, "State")[at] == "failed"
    assert column(page, "Why")[at].startswith(REASONS[reason] + "about 20 <b>bold</b>")
    assert column(page, "Since")[at] == "2026-01-01 00:20:00" and column(page, "Request")[at] == key_of(20)[:12]


def test_the_newest_activity_is_first_and_pending_requests_say_their_place(page: Any, site: Path) -> None:
    page.goto(address(site))
    ready(page)
    since = column(page, "Since")
    assert since == sorted(since, reverse=True) and len(since) == 50
    page.select_option("#state", "pending")
    places = [int(text.split(" of ")[0]) for text in column(page, "Position")]
    assert places == list(range(50, 0, -1)) and set(column(page, "State")) == {"pending"}
    sort_by(page, page.locator("#board thead th", has_text="Position"))
    assert column(page, "Position")[:2] == ["1 of 50", "2 of 50"]
    page.select_option("#state", "")
    assert column(page, "Position")[49] == "50 of 50", "a request without a place is not last"


def test_search_state_and_order_are_in_the_address_and_come_back_from_it(page: Any, site: Path) -> None:
    page.goto(address(site))
    ready(page)
    page.select_option("#state", "failed")
    page.fill("#search", "m-1")
    sort_by(page, page.locator("#board thead th", has_text="Model"))
    seen, url = rows(page), page.url
    assert seen and "state=failed" in url and "sort=model" in url
    other = page.context.new_page()
    other.goto(url)
    ready(other)
    assert rows(other) == seen and other.input_value("#state") == "failed"
    other.goto(f"{address(site)}#state=nonsense&sort=constructor,-key2&q=")
    other.reload()
    ready(other)
    assert other.input_value("#state") == "" and "300 of 300" in other.inner_text("#status")


def test_a_log_is_loaded_when_it_is_opened_and_is_text(page: Any, site: Path) -> None:
    page.goto(f"{address(site)}#state=failed&q=org/m-20")
    ready(page)
    log = page.locator("#board details").last
    assert page.evaluate("window.LOGS") is None
    log.locator("summary").click()
    page.wait_for_function("[...document.querySelectorAll('#board details pre')].some(p => p.textContent.length > 9)")
    assert log.locator("pre").text_content() == LOG
    assert page.evaluate("window.pwned") is None


def test_a_measured_model_leads_to_its_page_and_others_to_none(page: Any, site: Path) -> None:
    page.goto(f"{address(site)}#q=org/m-6")
    ready(page)
    links = {a.inner_text(): a.get_attribute("href") for a in page.locator("#board tbody th a").all()}
    assert set(links) == {"org/m-60", "org/m-61", "org/m-62"} and len(rows(page)) > 3
    page.locator("#board tbody th a", has_text="org/m-61").click()
    assert page.inner_text("h1") == "org/m-61"
    page.locator("nav").get_by_role("link", name="Queue").click()
    assert page.inner_text("h1") == "Queue"


def test_hostile_names_details_and_logs_are_text_on_the_page(page: Any, site: Path) -> None:
    page.goto(address(site))
    ready(page)
    for name in HOSTILE[:2]:
        page.fill("#search", name)
        assert column(page, "Model") == [name]
    page.fill("#search", "")
    for details in page.locator("details").all():
        details.evaluate("d => { d.open = true }")
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None and page.locator("#board script, #board b, #board img").count() == 0


def test_what_a_stranger_wrote_into_the_queue_makes_no_path_and_leaks_nothing(results: Path, tmp_path: Path) -> None:
    bad = {"../../../evil": entry("org/evil", State.FAILED), "A" * 32: entry("org/upper", State.FAILED)}
    good = {key_of(1): entry("org/fine", State.FAILED, reason=Reason.LOAD)}
    secret = "token hf_abcdefghijklmnopqrstuvwxyzABCDEFGH in /home/alice/x"
    out = tmp_path / "site"
    build([str(results)], out, read_conventions(), QueueView(bad | good, dict.fromkeys([*bad, key_of(1)], secret)))
    files = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.js")]
    assert [file for file in files if "logs" in file] == [f"site/data/logs/{key_of(1)[:2]}/{key_of(1)}.js"]
    written = b"".join(f.read_bytes() for f in [*out.rglob("*.html"), *(out / "data").rglob("*.js")])
    assert (
        b"org/fine" in written and b"hf_abc" not in written and b"alice" not in written and b"org/evil" not in written
    )


def test_without_javascript_the_newest_requests_are_there_with_their_reasons_and_logs(
    browser: Any, long_site: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address(long_site))
    seen = rows(page)
    assert len(seen) == 200 and seen[0][0] == "org/m-9999"
    failed = next(row for row in seen if row[1] == "failed")
    assert any(failed[3].startswith(said) for said in REASONS.values()) and "RuntimeError: </script>" in failed[3]
    assert "the 200 with the newest activity" in page.inner_text("#status")
    assert page.locator(".controls").is_hidden() and "need JavaScript" in page.inner_text("noscript")
    context.close()


def test_ten_thousand_requests_open_at_once_and_are_searched_in_a_moment(page: Any, long_site: Path) -> None:
    first = ["queue.html", *(f"assets/{n}" for n in ("queue.js", "queue.css", "style.css", "format.js", "table.js"))]
    first += ["assets/vendor/dataTables.min.js", "assets/vendor/dataTables.dataTables.min.css"]
    assert sum(len(gzip.compress((long_site / path).read_bytes())) for path in first) < 150_000
    assert len(gzip.compress((long_site / "data/queue.js").read_bytes())) < 600_000
    page.goto(address(long_site))
    assert page.evaluate("window.QUEUE") is None and len(rows(page)) == 200
    page.fill("#search", "org/m-777")
    ready(page)
    page.wait_for_function("document.querySelector('#status').textContent.startsWith('11 of 10,000')")
    page.fill("#search", "")
    page.select_option("#state", "pending")
    assert "1,667 of 10,000" in page.inner_text("#status") and column(page, "Position")[0] == "1667 of 1667"
    assert max(len(list(folder.iterdir())) for folder in (long_site / "data/logs").iterdir()) < 10_000


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_on_the_queue_and_it_is_no_wider_than_the_screen(
    browser: Any, site: Path, long_site: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page = context.new_page()
    found = {}
    for path in (site / "queue.html", long_site / "queue.html", long_site / "index.html"):
        page.goto(path.as_uri())
        if path.is_relative_to(site):
            ready(page)
            page.select_option("#state", "failed")
        for details in page.locator("details").all()[:5]:
            details.evaluate("d => { d.open = true }")
        found[path] = [(v["id"], [n["html"][:150] for n in v["nodes"][:2]]) for v in Axe().run(page)["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    assert found == {path: [] for path in found}


def test_nothing_measured_yet_is_a_site_with_the_queue_and_no_dead_link(page: Any, long_site: Path) -> None:
    for path in long_site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for link in re.findall(r"(?:href|src)=\"(?!https?:|data:|#)([^\"#]*)", text):
            assert (path.parent / link).is_file(), (path.name, link)
    page.goto(f"file://{long_site}/index.html")
    assert "Nothing has been measured yet" in page.inner_text("main")
    page.locator("nav").get_by_role("link", name="Queue").click()
    assert page.inner_text("h1") == "Queue"
    assert "sdk: static" in (long_site / "README.md").read_text()


def test_an_empty_queue_says_so_with_and_without_javascript(page: Any, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    build([str(tmp_path / "results")], tmp_path / "site", read_conventions(), QueueView({}, {}))
    page.goto(address(tmp_path / "site"))
    ready(page)
    assert rows(page) == [["Nothing has been asked for yet."]]
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(address(tmp_path / "site"))
    assert rows(still) == [["Nothing has been asked for yet."]]
    context.close()


def test_a_board_that_has_lost_all_results_is_not_built_over(results: Path, tmp_path: Path) -> None:
    out, nothing = tmp_path / "site", tmp_path / "nothing"
    nothing.mkdir()
    with pytest.raises(SystemExit, match="no folder"):
        build([str(tmp_path / "misspelt")], out, read_conventions(), queue_of(3))
    with pytest.raises(SystemExit, match="no results"):
        build([str(nothing)], out, read_conventions())
    build([str(results)], out, read_conventions(), queue_of(3))
    before = digests(out)
    with pytest.raises(SystemExit, match="no results"):
        build([str(nothing)], out, read_conventions(), queue_of(3))
    assert digests(out) == before


def test_the_same_queue_gives_the_same_bytes_and_without_one_nothing_of_it_stays(results: Path, tmp_path: Path) -> None:
    def make(out: str, queue: QueueView | None) -> dict[str, str]:
        build([str(results)], tmp_path / out, read_conventions(), queue)
        return digests(tmp_path / out)

    plain = make("a", None)
    assert not [path for path in plain if "queue" in path]
    assert b"Queue" not in b"".join(f.read_bytes() for f in (tmp_path / "a").rglob("*.html"))
    queued = make("a", queue_of(40))
    assert make("a", QueueView(dict(reversed(queue_of(40).entries.items())), queue_of(40).logs)) == queued
    assert make("b", queue_of(40)) == queued
    for path in (tmp_path / "b").rglob("*.html"):
        assert ">Queue</a>" in path.read_text(encoding="utf-8"), path
    # A request that is gone takes its log with it, and a queue that is gone takes its pages.
    fewer = make("a", queue_of(20))
    assert {path for path in queued if "logs" in path} > {path for path in fewer if "logs" in path}
    assert make("a", None) == plain


def test_the_data_of_the_page_is_for_other_programs_too(site: Path) -> None:
    text = (site / "data/queue.js").read_text(encoding="utf-8")
    data = json.loads(text.removeprefix("window.QUEUE=").rstrip(";\n"))
    row = dict(zip(data["fields"], next(r for r in data["rows"] if r[0] == key_of(20)), strict=True))
    assert row["model"] == "org/m-20" and row["state"] == "failed" and row["log"] == 1 and row["position"] is None
