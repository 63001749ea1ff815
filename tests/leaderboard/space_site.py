"""A small built site, and this process's Hub client sent to the stand-in of the Hub."""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path

import pytest
from hub import Hub, Repository

SPACE = "org/board"
TABLE = b"PAR1" + bytes(range(256)) * 8 + b"PAR1"
CARD = b"---\ntitle: Board\nsdk: static\nlicense: apache-2.0\nmodels: [org/a]\ntags: [representation-dispersion]\n---\n"


def write_site(folder: Path) -> Path:
    """What ``build`` leaves behind, on a small scale: pages, a table, and hidden files that are nobody's business."""
    contents = {
        "README.md": CARD,
        "index.html": "<a href=models/a.html>ä</a>".encode(),
        "compare.html": b"<p>compare",
        "assets/board.js": b"let a = 1\n",
        "models/a.html": b"<p>a",
        "models/b.html": b"<p>b",
        "models/empty.html": b"",
        "data/records.parquet": TABLE,
        "data/models.js": b"const models = []\n",
        ".dispersion-leaderboard": b"",
        ".cache/fits": b"secret",
        "models/.a.html.swp": b"secret",
    }
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def shown(site: Path) -> dict[str, bytes]:
    """What of the folder belongs into the Space."""
    files = {file.relative_to(site).as_posix(): file for file in site.rglob("*") if file.is_file()}
    return {path: file.read_bytes() for path, file in files.items() if not any(p[0] == "." for p in path.split("/"))}


def digest(site: Path) -> str:
    """Names all that the folder holds, and when it was written."""
    told = sha256()
    for file in sorted(site.rglob("*")):
        content = file.read_bytes() if file.is_file() else b""
        told.update(f"{file} {file.stat().st_mtime_ns} {sha256(content).hexdigest()}\n".encode())
    return told.hexdigest()


def space(hub: Hub) -> Repository:
    return hub.repositories[f"spaces/{SPACE}"]


def published(hub: Hub) -> dict[str, bytes]:
    """What the Space holds beside the Hub's own file."""
    return {path: content for path, content in space(hub).files.items() if path != ".gitattributes"}


def recorded_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits in truth; how long they would have is in the list."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits
