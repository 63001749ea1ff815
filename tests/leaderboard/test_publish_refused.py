"""What the Hub refuses, cuts or does behind the client's back: nothing twice, one clear line, the site intact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from dispersion_leaderboard.publish import publish
from hub import WRITER, Hub
from hub._blob import Blob
from hub._content import Commit
from huggingface_hub import constants
from space_site import CARD, SPACE, digest, published, recorded_waits, shown, space, write_site


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return recorded_waits(monkeypatch)


def refused(site: Path, space: str = SPACE, **options: bool) -> str:
    """The one line of a publication that fails, which leaves the folder alone."""
    before = digest(site)
    with pytest.raises(SystemExit) as stopped:
        publish(site, space, **options)
    line = str(stopped.value)
    assert line.startswith("leaderboard: ")
    assert "\n" not in line
    assert WRITER not in line
    assert digest(site) == before
    return line


@pytest.mark.parametrize("landed", [False, True], ids=["nothing-landed", "landed"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_an_answer_that_does_not_tell_is_looked_into_before_another_attempt(
    hub: Hub, site: Path, waits: list[float], status: int, landed: bool
) -> None:
    hub.fail("commit", status, landed=landed)
    before = digest(site)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert len(space(hub).commits) == 2
    # Of two requests, one was answered without the repository, or was not needed any more.
    assert [what for _, _, what in hub.asked].count("commit") == 1
    assert waits == [1]
    assert digest(site) == before


def test_a_head_that_lags_behind_a_commit_whose_answer_was_lost_leads_to_no_second_one(
    hub: Hub, site: Path, waits: list[float]
) -> None:
    publish(site, SPACE)
    (site / "models/a.html").write_text("new")
    (site / "models/b.html").unlink()
    hub.fail("commit", 504, landed=True)
    hub.before("preupload", lambda: setattr(hub, "lag", 2))
    publish(site, SPACE)
    assert hub.lag == 0
    assert published(hub) == shown(site)
    assert len(space(hub).commits) == 3
    assert waits == [1, 2, 4]


@pytest.mark.parametrize("status", [409, 412, 429, 408])
def test_a_refusal_that_passes_is_waited_out(hub: Hub, site: Path, waits: list[float], status: int) -> None:
    hub.fail("commit", status, "not now", times=3)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert len(space(hub).commits) == 2
    assert waits == [1, 2, 4]


def test_somebody_elses_commit_is_seen_before_ours_and_what_it_brought_goes(
    hub: Hub, site: Path, waits: list[float]
) -> None:
    publish(site, SPACE)
    (site / "models/a.html").write_text("new")
    theirs = {"models/b.html": b"theirs", "stray.html": b"theirs", "models/empty.html": None}
    hub.before("commit", lambda: space(hub).change("theirs", theirs))
    publish(site, SPACE)
    assert [commit.title for commit in space(hub).commits[2:]] == ["theirs", "Update the leaderboard"]
    assert published(hub) == shown(site)
    assert waits == [1]


def test_a_commit_that_the_client_left_empty_is_not_taken_for_ours(hub: Hub, site: Path, waits: list[float]) -> None:
    # The client drops files that the Hub has by now, and then reports success without a look at the parent.
    publish(site, SPACE)
    (site / "models/a.html").write_bytes(b"new")
    theirs = {"models/a.html": b"new", "stray.html": b"theirs"}
    hub.before("preupload", lambda: space(hub).change("theirs", theirs))
    publish(site, SPACE)
    assert published(hub) == shown(site)


def test_as_long_is_waited_as_the_hub_asks_but_not_an_hour(hub: Hub, site: Path, waits: list[float]) -> None:
    hub.fail("commit", 429)
    hub.faults[0] = replace(hub.faults[0], headers={"Retry-After": "17"})
    hub.fail("commit", 429)
    hub.faults[1] = replace(hub.faults[1], headers={"RateLimit": '"api";r=0;t=55'})
    publish(site, SPACE)
    assert waits == [18, 56]
    (site / "models/a.html").write_text("new")
    hub.fail("commit", 429, "rate limit for repository commits (128 per hour)")
    hub.faults[0] = replace(hub.faults[0], headers={"Retry-After": "2580"})
    line = refused(site)
    assert "43 minutes" in line
    assert "128 per hour" in line
    assert "run this again" in line
    assert waits == [18, 56]


@pytest.mark.parametrize("status", [500, 409, 412, 0])
def test_what_does_not_pass_is_given_up(hub: Hub, site: Path, waits: list[float], status: int) -> None:
    hub.fail("commit", status, "the trouble", times=100)
    assert "after 8 attempts" in refused(site)
    assert len(space(hub).commits) == 1
    assert len(hub.faults) == 100 - 8
    assert sum(waits) < 120


def test_attempts_are_counted_anew_once_a_commit_has_landed(
    hub: Hub, site: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispersion_leaderboard.publish._difference.BYTES", 1000)
    for number in range(5):
        (site / f"models/{number}.html").write_text("x" * 400)
    for _ in range(2):
        hub.fail("commit", 409, times=5)
        hub.before("commit", lambda: None)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert waits == [1, 2, 4, 8, 16] * 2


def test_a_space_that_does_not_keep_what_is_uploaded_is_given_up_after_some_rounds(
    hub: Hub, site: Path, waits: list[float]
) -> None:
    publish(site, SPACE)
    (site / "models/a.html").write_text("new")
    inner = space(hub).commit

    def commit(title: str, changes: Mapping[str, Blob | None], *rest: str) -> Commit:
        return inner(title, {path: blob for path, blob in changes.items() if path != "models/a.html"}, *rest)

    space(hub).commit = commit  # type: ignore[method-assign]
    before = len(space(hub).commits)
    assert "does not keep what is uploaded, such as models/a.html; does another job" in refused(site)
    assert waits == [2, 4, 8, 16]
    assert len(space(hub).commits) == before + 5


@pytest.mark.parametrize("endpoint", ["create", "info", "validate-yaml"])
@pytest.mark.parametrize("landed", [False, True])
def test_what_the_client_asks_only_once_we_ask_again(
    hub: Hub, site: Path, waits: list[float], endpoint: str, landed: bool
) -> None:
    hub.fail(endpoint, 503, landed=landed)
    if endpoint != "info":
        hub.fail(endpoint, landed=landed)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert len(space(hub).commits) == 2


@pytest.mark.parametrize("endpoint", ["tree", "preupload", "lfs-batch", "lfs-upload"])
def test_what_the_client_asks_again_itself_is_not_multiplied(
    hub: Hub, site: Path, waits: list[float], endpoint: str
) -> None:
    hub.fail(endpoint, 503, times=3)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    (site / "models/a.html").write_text("new")
    (site / "data/records.parquet").write_text("new")
    hub.fail(endpoint, 503, times=100)
    assert "503" in refused(site)
    assert len(hub.faults) == 100 - 6


def test_a_space_that_is_not_shown_yet_is_waited_for(hub: Hub, site: Path, waits: list[float]) -> None:
    hub.before("info", lambda: None)
    hub.fail("info", 404)
    hub.faults[-1] = replace(hub.faults[-1], headers={"X-Error-Code": "RepoNotFound"})
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert waits == [1]


def test_a_token_that_is_not_valid(hub: Hub, site: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    line = refused(site)
    assert "does not accept the token (401 " in line
    assert "hf auth login" in line
    assert "hf_unknown" not in line
    assert waits == []
    assert hub.repositories == {}


def test_no_right_to_write(hub: Hub, site: Path, waits: list[float]) -> None:
    line = refused(site, "other/board")
    assert "no right to write to other/board (403 " in line
    assert "write access to other" in line
    hub.fail("commit", 403, "read only")
    assert "read only" in refused(site)
    assert waits == []


def test_no_network(hub: Hub, site: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "cannot reach http://127.0.0.1:9: " in refused(site)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set; unset it" in refused(site)
    assert waits == []


@pytest.mark.parametrize("name", ["board", "org/a/b", "org/", "/board", "", "org/-board", "org/bo ard", "org/a..b"])
def test_a_name_that_is_none(hub: Hub, site: Path, name: str) -> None:
    assert "ORG/NAME" in refused(site, name)
    assert hub.asked == []


def test_no_site(hub: Hub, tmp_path: Path) -> None:
    assert "dispersion-leaderboard build" in refused(tmp_path / "nowhere")
    (tmp_path / "index.html").touch()
    assert "dispersion-leaderboard build" in refused(tmp_path)
    assert hub.asked == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_somebodys_other_space_is_not_emptied(hub: Hub, site: Path, dry_run: bool) -> None:
    app = hub.add_space(SPACE, {"README.md": b"---\nsdk: gradio\n---\n", "app.py": b"import gradio"}, sdk="gradio")
    assert "holds other things" in refused(site, dry_run=dry_run)
    page = hub.add_space("org/page", {"README.md": CARD.split(b"tags")[0] + b"---\n", "thesis.html": b"mine"})
    assert "holds other things" in refused(site, "org/page", dry_run=dry_run)
    assert len(app.commits) == len(page.commits) == 1


def test_an_empty_space_made_by_hand_will_do(hub: Hub, site: Path) -> None:
    hub.add_space(SPACE, {"README.md": b"---\nsdk: static\n---\n", "index.html": b"Hello", "style.css": b""})
    publish(site, SPACE)
    assert space(hub).files == shown(site)


def test_pages_meant_to_be_private_do_not_become_public(hub: Hub, site: Path) -> None:
    publish(site, SPACE)
    (site / "models/a.html").write_text("secret")
    assert "is public" in refused(site, private=True)
    assert b"secret" not in published(hub).values()


def test_a_card_that_the_hub_does_not_take(hub: Hub, site: Path) -> None:
    (site / "README.md").write_text("---\ntitle: [\n---\n")
    assert "Invalid metadata in README.md" in refused(site)
    assert len(space(hub).commits) == 1
