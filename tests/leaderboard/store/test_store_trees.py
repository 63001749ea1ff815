"""A folder and a dataset of the Hub, which must behave alike to all that is built on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.store import Moved, open_tree
from hub import Hub
from queue_made import Stores, opened


@pytest.fixture(params=["folder", "hub"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    with opened(request.param, tmp_path, monkeypatch) as found:
        yield found


def test_what_is_committed_is_read_again(stores: Stores) -> None:
    tree = stores("queue")
    head = tree.commit({"a/one.json": b"1", "a/two.json": b"2", "b/c/three.json": b"3"}, tree.head(), "first")
    assert tree.head() == head
    assert set(tree.files("a", head)) == {"a/one.json", "a/two.json"}
    assert tree.files("nowhere", head) == {}
    assert tree.read("b/c/three.json", head) == b"3"
    assert tree.read("b/c/four.json", head) is None
    assert tree.present(["a", "b/c", "b/c/three.json", "d"], head) == {"a", "b/c", "b/c/three.json"}
    assert tree.download(["a/one.json", "nothing"], head) == {"a/one.json": b"1"}
    names = tree.files("a", head)
    later = tree.commit({"a/one.json": b"other", "a/two.json": None}, head, "second")
    assert tree.files("a", later).keys() == {"a/one.json"}
    assert tree.files("a", later)["a/one.json"] != names["a/one.json"]


def test_a_commit_on_top_of_what_is_not_the_newest_is_refused_and_changes_nothing(stores: Stores) -> None:
    mine, theirs = stores("queue"), stores("queue")
    head = mine.head()
    theirs.commit({"claim.json": b"theirs"}, head, "theirs")
    with pytest.raises(Moved):
        mine.commit({"claim.json": b"mine"}, head, "mine")
    assert mine.read("claim.json", mine.head()) == b"theirs"


def test_of_many_at_the_same_time_one_wins_each_round(stores: Stores) -> None:
    trees = [stores("queue") for _ in range(6)]
    head = trees[0].head()
    won: list[int] = []
    gate = threading.Barrier(len(trees))

    def race(number: int) -> None:
        gate.wait()
        try:
            trees[number].commit({"claim.json": f"{number}".encode()}, head, "race")
            won.append(number)
        except Moved:
            pass

    threads = [threading.Thread(target=race, args=(n,)) for n in range(len(trees))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert trees[0].read("claim.json", trees[0].head()) == f"{won[0]}".encode()


def test_a_path_that_leads_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    tree = open_tree(str(tmp_path / "queue"))
    with pytest.raises(ValueError, match="no path in a store"):
        tree.commit({"../outside": b""}, tree.head(), "hostile")
    assert not (tmp_path / "outside").exists()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Hub, Stores]]:
    from hub_fixtures import loopback

    with loopback(monkeypatch) as found:
        yield found, lambda name: open_tree(f"hf://datasets/org/{name}")


def test_a_head_that_is_told_late_is_not_believed(hub: tuple[Hub, Stores]) -> None:
    server, stores = hub
    tree = stores("queue")
    first = tree.head()
    second = tree.commit({"a": b"1"}, first, "one")
    server.lag = 2
    assert tree.head() == second
    assert tree.head() == second


def test_a_commit_whose_files_are_there_already_is_no_success(hub: tuple[Hub, Stores]) -> None:
    """The client leaves such files out, and of a commit left empty says that it was made, whatever its parent."""
    _, stores = hub
    tree, other = stores("queue"), stores("queue")
    head = tree.commit({"a": b"1"}, tree.head(), "one")
    other.commit({"b": b"2"}, head, "somebody else's")
    with pytest.raises(Moved):
        tree.commit({"a": b"1"}, head, "again")


@pytest.mark.parametrize("status", [409, 412, 500, 503, 0])
@pytest.mark.parametrize("landed", [False, True])
def test_an_answer_that_does_not_tell_sends_one_back_to_look(
    hub: tuple[Hub, Stores], monkeypatch: pytest.MonkeyPatch, status: int, landed: bool
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server, stores = hub
    tree = stores("queue")
    head = tree.head()
    server.fail("commit", status, landed=landed)
    with pytest.raises(Moved):
        tree.commit({"a": b"1"}, head, "one")
    assert tree.read("a", tree.head()) == (b"1" if landed else None)


def test_without_the_right_to_write_one_line_says_what_helps(
    hub: tuple[Hub, Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stores = hub
    tree = stores("queue")
    server.tokens["hf_reader_reader_reader"] = frozenset()
    monkeypatch.setenv("HF_TOKEN", "hf_reader_reader_reader")
    with pytest.raises(Refused, match="no right to write to org/queue"):
        tree.commit({"a": b"1"}, tree.head(), "one")
