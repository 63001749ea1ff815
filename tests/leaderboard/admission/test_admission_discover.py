"""Models that are found by a filter file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from dispersion_leaderboard.admission import discover
from hostile import harmless, model_hub
from hub import Hub

Filter = Callable[[str], Path]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Ten models of two owners, one of them gated, one private."""
    with model_hub(monkeypatch, tmp_path / "home") as hub:
        for number in range(4):
            day = datetime(2026, 1 + number, 1, tzinfo=timezone.utc)
            hub.add_model(f"org/base-{number}", harmless(), downloads=1000 * number, created=day, tags=("en",))
            hub.add_model(f"other/chat-{number}", harmless(), downloads=10, likes=number, created=day)
        hub.add_model("org/base-gated", harmless(), gated="auto", downloads=10**6)
        hub.add_model("org/base-private", harmless(), private=True, downloads=10**6)
        yield hub


@pytest.fixture
def filter_file(tmp_path: Path) -> Filter:
    def write(text: str) -> Path:
        (tmp_path / "filter.yaml").write_text(text)
        return tmp_path / "filter.yaml"

    return write


def test_the_most_downloaded_of_an_owner_are_found_without_gated_and_private_ones(
    hub: Hub, filter_file: Filter
) -> None:
    found = discover(filter_file("searches: [{author: org, sort: downloads, limit: 3}]"))
    assert found == ["org/base-3", "org/base-2", "org/base-1"]


def test_all_conditions_hold_together_and_named_models_come_first(hub: Hub, filter_file: Filter) -> None:
    text = """\
searches:
  - {search: base, tags: [en, safetensors], pipeline_tag: text-generation, sort: downloads}
  - {search: CHAT, sort: likes}
models: [mine/own]
exclude: ["^ORG/.*-3$", "chat-[01]$"]
min_downloads: 10
created_after: 2026-02-01
"""
    assert discover(filter_file(text)) == ["mine/own", "org/base-2", "org/base-1", "other/chat-3", "other/chat-2"]
    assert discover(filter_file(f"{text}most: 2")) == ["mine/own", "org/base-2"]


def test_many_pages_of_models_are_read(hub: Hub, filter_file: Filter) -> None:
    hub.page = 2
    assert len(discover(filter_file("searches: [{}]"))) == 8


def test_what_is_no_model_id_is_not_found(hub: Hub, filter_file: Filter) -> None:
    for name in ("org/na me", "org/a--b", "org/x,trust_remote_code=True"):
        hub.add_model(name, harmless())
    assert discover(filter_file("searches: [{author: org, sort: created_at, limit: 3}]")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a mapping"),
        ("[", "not YAML"),
        ("most: 3", "neither searches nor models"),
        ("serches: []", "knows no serches"),
        ("searches: [{autor: org}]", "search 1: knows no autor"),
        ("searches: [{author: 3}]", "search 1: author is text"),
        ("searches: [{sort: best}]", "sort is one of"),
        ("searches: [{limit: many}]", "limit is a whole number"),
        ("searches: {author: org}", "searches is a list"),
        ("models: [../../etc]", "is no model id"),
        ("models: [a/b]\nexclude: ['(']", "is no regular expression"),
        ("models: [a/b]\ncreated_after: soon", "created_after is a date"),
        ("models: [a/b]\nmost: yes", "most is a whole number"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_one_line(filter_file: Filter, text: str, says: str) -> None:
    with pytest.raises(SystemExit) as caught:
        discover(filter_file(text))
    line = str(caught.value.code)
    assert line.startswith("leaderboard: ")
    assert says in line
    assert "\n" not in line


def test_no_file_and_no_answer_are_told_in_one_line(hub: Hub, filter_file: Filter, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="leaderboard: cannot read"):
        discover(tmp_path / "none.yaml")
    hub.fail("models", 400, "no", times=20)
    with pytest.raises(SystemExit, match="leaderboard: cannot search the Hub"):
        discover(filter_file("searches: [{}]"))
