"""The built pages on this machine, asked for over HTTP."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from command_line import SCRIPT, typed
from dispersion_leaderboard.publish import serve
from space_site import digest, shown, write_site


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site")


@contextmanager
def serving(site: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process of its own, and the port that it tells."""
    process = subprocess.Popen(
        [SCRIPT, "serve", "--site", str(site), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, which a CI's may be, hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        yield process, int(url.rstrip("/").rpartition(":")[2])
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str) -> tuple[int, str, bytes]:
    """Status, type and content; the path goes out as it is."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], content


def test_every_page_is_served_as_what_it_is_until_ctrl_c(site: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("secret")
    before = digest(site)
    with serving(site) as (process, port):
        for path, content in shown(site).items():
            assert get(port, f"/{path}")[::2] == (200, content), path
        assert get(port, "/")[::2] == (200, shown(site)["index.html"])
        kinds = {path: get(port, f"/{path}?sort=d#x")[1] for path in shown(site)}
        assert kinds["index.html"] == "text/html; charset=utf-8"
        assert kinds["assets/board.js"] == "text/javascript; charset=utf-8"
        assert kinds["data/records.parquet"] == "application/vnd.apache.parquet"
        for path in (
            "/models/",
            "/nowhere.html",
            "/../secret.html",
            "/%2e%2e/secret.html",
            "/models/../../secret.html",
        ):
            status, _, content = get(port, path)
            assert status == 404, path
            assert b"secret" not in content
            assert b"a.html" not in content
        # A browser that leaves early.
        with socket.create_connection(("127.0.0.1", port)) as leaving:
            leaving.sendall(b"GET /data/records.parquet HTTP/1.1\r\n")
        assert digest(site) == before
        (site / "models/a.html").write_text("built anew")
        assert get(port, "/models/a.html")[2] == b"built anew"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=10)
        assert (process.returncode, error) == (0, "")
        assert out.strip() == ""


def test_a_port_that_is_taken(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = typed("serve", "--site", str(site), "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"leaderboard: port {port} is in use; give another with --port\n"


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_that_is_none(site: Path, port: int) -> None:
    with pytest.raises(SystemExit, match=f"leaderboard: {port} is no port; give --port one of 1024 to 65535"):
        serve(site, port)


def test_no_site(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"leaderboard: no built site in .*`dispersion-leaderboard build"):
        serve(tmp_path, 0)
