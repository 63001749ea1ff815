"""How a change of a store is tried again: what is looked for first, how long is waited, when it is given up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.store import Results, open_tree
from hub import Hub
from space_site import recorded_waits

STORE = "hf://datasets/org/results"
FOUND = {("a" * 32, "task"): {"model/results_1.json": b"{}"}}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return recorded_waits(monkeypatch)


def titles(hub: Hub) -> list[str]:
    return [commit.title for commit in hub.repositories["org/results"].commits[1:]]


@pytest.mark.parametrize("status", [500, 503, 0])
@pytest.mark.parametrize("landed", [False, True])
def test_a_change_whose_answer_does_not_tell_is_looked_for_and_made_once(
    hub: Hub, waits: list[float], status: int, landed: bool
) -> None:
    results = Results(open_tree(STORE))
    hub.fail("commit", status, landed=landed)
    results.save(FOUND)
    assert titles(hub) == ["Results of 1 run"]
    assert waits == [1]


def test_a_race_on_the_hub_is_waited_out_for_a_moment_and_not_counted_as_trouble(hub: Hub, waits: list[float]) -> None:
    results = Results(open_tree(STORE))
    hub.fail("commit", 412, times=20)
    results.save(FOUND)
    assert titles(hub) == ["Results of 1 run"]
    assert len(waits) == 20
    assert waits[0] <= 0.5
    assert max(waits) <= 20


def test_a_store_is_left_alone_as_long_as_the_hub_asks_but_not_an_hour(hub: Hub, waits: list[float]) -> None:
    results = Results(open_tree(STORE))
    for seconds in ("17", "2580"):
        hub.fail("commit", 429)
        hub.faults[-1] = replace(hub.faults[-1], headers={"Retry-After": seconds})
    with pytest.raises(Refused, match="43 minutes") as refused:
        results.save(FOUND)
    assert refused.value.after == 2581
    assert waits == [18]


def test_what_never_tells_is_given_up_and_begun_anew_by_whoever_comes_again(hub: Hub, waits: list[float]) -> None:
    results = Results(open_tree(STORE))
    hub.fail("commit", 500, "the trouble", times=8 + 7)
    with pytest.raises(Refused, match=r"after 8 attempts.*the trouble") as refused:
        results.save(FOUND)
    assert refused.value.after == 300
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    results.save(FOUND)
    assert waits == [1, 2, 4, 8, 16, 30, 30] * 2
    assert titles(hub) == ["Results of 1 run"]


def test_whoever_loses_every_race_gives_up(tmp_path: Path, waits: list[float]) -> None:
    mine, theirs = (open_tree(str(tmp_path / "store")) for _ in range(2))
    lost: list[str] = []

    def lose(head: str) -> None:
        lost.append(head)
        theirs.commit({"theirs": head.encode()}, head, "theirs")
        mine.commit({"mine": b""}, head, "mine")

    with pytest.raises(Refused, match="changed by others 200 times in a row") as refused:
        mine.on_newest(lose)
    assert refused.value.after == 300
    assert len(set(lost)) == 200
    # At random, so that those who have lost to each other do not meet again.
    assert len(set(waits)) == len(waits) == 199
    assert mine.read("mine", mine.head()) is None
