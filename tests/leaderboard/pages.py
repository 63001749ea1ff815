"""A built site in a real Chromium: an installed one where there is one, else playwright's own."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def chromium(playwright: Any) -> Any:
    """The browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next((path for name in names if (path := shutil.which(name))), None)
    return playwright.chromium.launch(executable_path=installed, args=ARGUMENTS)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def rows(page: Any) -> list[list[str]]:
    """The texts of the table's rows, cell by cell."""
    found: list[list[str]] = page.eval_on_selector_all(
        "#board tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent.trim()))"
    )
    return found


def column(page: Any, label: str) -> list[str]:
    """The texts of one shown column."""
    heads = [h.strip() for h in page.eval_on_selector_all("#board thead th", "hs => hs.map(h => h.textContent)")]
    return [row[heads.index(label)] for row in rows(page)]


def ready(page: Any) -> None:
    """Waits until all rows are there."""
    page.wait_for_selector("#board[data-ready=yes]")


def sort_by(page: Any, head: Any) -> None:
    """Presses a heading and waits until the rows are sorted, which the library does in a timer of its own."""
    before = page.evaluate("location.href")
    head.click()
    page.wait_for_function("before => location.href !== before", arg=before)
