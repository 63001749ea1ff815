"""A folder to a Space, by the real client over HTTP: what is uploaded, in which order, in how many commits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SCRIPT, Done, hub_client, typed
from dispersion_leaderboard.publish import publish
from hub import WRITER, Hub
from space_site import SPACE, TABLE, digest, published, recorded_waits, shown, space, write_site

READS = {"info", "tree"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site")


def words(hub: Hub) -> list[str]:
    return [what for _, _, what in hub.asked]


def installed(hub: Hub, home: Path, *arguments: str, **environment: str) -> Done:
    """The command as a user runs it, without a token unless one is given."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
    return subprocess.run(
        [SCRIPT, "publish", "--space", SPACE, *arguments],
        env=inherited | hub.environment(home) | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def command(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The same in this process."""

    def run(home: Path, *arguments: str, **environment: str) -> Done:
        with monkeypatch.context() as patch:
            hub_client(patch, hub.environment(home) | environment)
            return typed("publish", "--space", SPACE, *arguments)

    return run


def test_the_first_time_the_space_is_made_and_holds_what_the_folder_shows_in_one_commit(
    hub: Hub, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digest(site)
    assert publish(site, SPACE) == f"{hub.url}/spaces/{SPACE}"
    assert capsys.readouterr().out.splitlines()[-1] == f"{hub.url}/spaces/{SPACE}"
    assert (space(hub).sdk, space(hub).private) == ("static", False)
    assert published(hub) == shown(site)
    assert not [path for path in published(hub) if "swp" in path or "cache" in path or path.startswith(".")]
    assert len(space(hub).commits) == 2  # the Hub's own, and ours
    assert space(hub).head.files["data/records.parquet"].large
    assert digest(site) == before


def test_the_same_again_makes_no_commit_and_says_so(hub: Hub, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(site, SPACE)
    hub.asked.clear()
    publish(site, SPACE)
    assert set(words(hub)) == READS
    assert "nothing has changed" in capsys.readouterr().out


def test_only_what_changed_is_sent_and_what_is_gone_is_deleted(hub: Hub, site: Path) -> None:
    publish(site, SPACE)
    (site / "models/a.html").write_bytes(b"<p>A")  # as long as before
    hub.asked.clear()
    publish(site, SPACE)
    earlier, later = (commit.files for commit in space(hub).commits[-2:])
    assert {path for path in later if later[path] != earlier.get(path)} == {"models/a.html"}
    assert words(hub).count("commit") == 1
    assert "lfs-upload" not in words(hub)

    (site / "models/b.html").unlink()
    (site / "data/records.parquet").write_bytes(TABLE[::-1])
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert "models/b.html" not in published(hub)
    assert ".gitattributes" in space(hub).files
    assert len(space(hub).commits) == 4


def test_thousands_of_files_are_a_few_commits_with_no_broken_link_between(
    hub: Hub, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(site, SPACE)
    old = space(hub).head.files
    (site / "models/b.html").unlink()
    (site / "index.html").write_text("<a href=many/0.html>")
    (site / "data/models.js").write_text("const models = [0]\n")
    (site / "many").mkdir()
    for number in range(2300):
        (site / f"many/{number}.html").write_text(f"<p>{number}")
    publish(site, SPACE)
    assert published(hub) == shown(site)
    between = [commit.files for commit in space(hub).commits[2:]]
    assert len(between) == 3
    for files in between[:-1]:
        assert all(files[path] == old[path] for path in ("index.html", "data/models.js", "models/b.html"))
    assert [len(files) - len(old) for files in between] == [1000, 2000, 2299]

    shutil.rmtree(site / "many")
    (site / "index.html").write_text("none left")
    publish(site, SPACE)
    assert published(hub) == shown(site)
    after = [commit.files for commit in space(hub).commits[5:]]
    assert [len(files) - len(old) for files in after] == [1300, 300, -1]
    assert all(files["index.html"].content == b"none left" for files in after)


def test_a_commit_carries_no_more_than_one_request_can(hub: Hub, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispersion_leaderboard.publish._difference.BYTES", 1000)
    for number in range(5):
        (site / f"models/{number}.html").write_text("x" * 400)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    sizes = []
    for earlier, later in zip(space(hub).commits[1:], space(hub).commits[2:], strict=False):
        new = [blob for path, blob in later.files.items() if earlier.files.get(path) != blob]
        sizes.append(sum(len(blob.content) for blob in new if not blob.large))
    assert len(sizes) >= 2
    assert max(sizes) <= 1000


def test_a_smaller_commit_is_tried_after_one_that_took_too_long(
    hub: Hub, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_waits(monkeypatch)
    for number in range(900):
        (site / f"models/{number}.html").write_text(f"<p>{number}")
    hub.fail("commit", 504)
    publish(site, SPACE)
    assert published(hub) == shown(site)
    assert len(space(hub).commits[1].files) <= 504


def test_a_private_space_is_made_private_and_stays_so(hub: Hub, site: Path) -> None:
    publish(site, SPACE, private=True)
    assert space(hub).private
    (site / "models/a.html").write_text("new")
    publish(site, SPACE)
    assert space(hub).private
    assert published(hub) == shown(site)


def test_a_dry_run_says_all_and_writes_nothing(hub: Hub, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(site, SPACE, dry_run=True)
    told = capsys.readouterr().out
    count, size = len(shown(site)), sum(map(len, shown(site).values()))
    assert f"would create the static Space {SPACE}" in told
    assert f"would upload {count} files ({size / 1000:.2f}kB)" in told
    assert hub.repositories == {}

    publish(site, SPACE)
    (site / "models/a.html").write_text("<p>new")
    (site / "models/b.html").unlink()
    hub.asked.clear()
    capsys.readouterr()
    publish(site, SPACE, dry_run=True)
    told = capsys.readouterr().out
    assert "would upload 1 files (6.00B): models/a.html\n" in told
    assert "would delete 1 files: models/b.html\n" in told
    assert set(words(hub)) == READS
    assert len(space(hub).commits) == 2


def test_a_dry_run_needs_no_token_and_no_network(
    hub: Hub, command: Callable[..., Done], site: Path, tmp_path: Path
) -> None:
    done = command(tmp_path / "home", "--site", str(site), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would upload {len(shown(site))} files" in done.stdout
    assert set(words(hub)) == {"info"}
    for offline in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        done = command(tmp_path / "home", "--site", str(site), "--dry-run", **offline)
        assert done.returncode == 0, done.stderr
        assert "cannot compare with the Hub: " in done.stdout
        assert f"would upload {len(shown(site))} files" in done.stdout
    assert set(words(hub)) == {"info"}


def test_the_command_publishes_with_the_environments_token_and_never_shows_it(
    hub: Hub, site: Path, tmp_path: Path
) -> None:
    # The Hub repeats the token in what it says.
    hub.fail("commit", 500, f"trouble with {WRITER}")
    done = installed(hub, tmp_path / "home", "--site", str(site), HF_TOKEN=WRITER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{hub.url}/spaces/{SPACE}\n")
    assert published(hub) == shown(site)
    assert "trouble with <token>" in done.stderr
    (site / "models/a.html").write_text("new")
    hub.fail("commit", 403, f"not with {WRITER}")
    refused = installed(hub, tmp_path / "home", "--site", str(site), HF_TOKEN=WRITER)
    assert refused.returncode == 1
    assert "not with <token>" in refused.stderr
    for text in (done.stdout, done.stderr, refused.stdout, refused.stderr):
        assert WRITER not in text
        assert "Traceback" not in text
    assert not [file for file in site.rglob("*") if file.is_file() and WRITER.encode() in file.read_bytes()]


def test_the_saved_login_will_do(hub: Hub, command: Callable[..., Done], site: Path, tmp_path: Path) -> None:
    without = command(tmp_path / "home", "--site", str(site))
    assert without.returncode == 1
    assert without.stderr.startswith("leaderboard: no token; `hf auth login`")
    assert hub.asked == []
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home/token").write_text(WRITER)
    assert command(tmp_path / "home", "--site", str(site)).returncode == 0
    assert published(hub) == shown(site)
