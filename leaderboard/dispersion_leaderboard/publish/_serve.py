"""The built pages in a browser on this machine."""

from __future__ import annotations

import errno
import io
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def serve(site: Path, port: int) -> None:
    """Serves a built folder on 127.0.0.1 until Ctrl-C.

    Args:
        site: what ``build`` wrote.
        port: where to listen; 0 for any that is free.

    Raises:
        SystemExit: where there is no site, or the port cannot be had, in one line.
    """
    if not (site / "index.html").is_file():
        raise SystemExit(f"leaderboard: no built site in {site}; `dispersion-leaderboard build --out {site}` makes it")
    try:
        server = _Server(("127.0.0.1", port), partial(_Pages, directory=str(site)))
    except OverflowError as error:
        raise SystemExit(f"leaderboard: {port} is no port; give --port one of 1024 to 65535") from error
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "may not be used"
        raise SystemExit(f"leaderboard: port {port} {why}; give another with --port") from error
    with server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


# The system's own table differs from machine to machine, and a browser runs no script of another type.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a browser that leaves while a page is sent is no error of the user's."""


class _Pages(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def guess_type(self, path: Any) -> str:
        """By our table alone."""
        return _TYPES.get(Path(path).suffix.lower(), "application/octet-stream")

    def list_directory(self, path: Any) -> io.BytesIO | None:
        """A Space lists no folder either."""
        self.send_error(404)
        return None

    def end_headers(self) -> None:
        """A page that was built anew is fetched anew."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
