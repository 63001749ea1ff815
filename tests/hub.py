"""A loopback stand-in of the Hugging Face Hub, for the real ``datasets`` and ``huggingface_hub`` clients.

It serves dataset repositories that a test holds in memory: what the clients ask before a download (revision,
tree, paths) and whole files (no ranges, so no streaming). A repository, revision or file it does not hold is
answered 404 with the error code the clients read. A process uses it through ``Hub.environment``.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow.parquet as pq
import yaml

if TYPE_CHECKING:
    from datasets import Dataset

_API = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")

Splits = Mapping[str, "Dataset"]


def parquet(dataset: Dataset) -> bytes:
    """The rows as one Parquet file, with the ``datasets`` features in its metadata as on the Hub."""
    buffer = io.BytesIO()
    pq.write_table(dataset.with_format("arrow")[:], buffer)
    return buffer.getvalue()


def card(configs: Mapping[str, Splits], paths: Mapping[tuple[str, str], str]) -> bytes:
    """A dataset card whose YAML says which paths hold which (config, split), and what is in it."""
    listed, described = [], []
    for config, splits in configs.items():
        listed.append({"config_name": config, "data_files": [{"split": s, "path": paths[config, s]} for s in splits]})
        sizes = [{"name": s, "num_bytes": rows.data.nbytes, "num_examples": len(rows)} for s, rows in splits.items()]
        features = next(iter(splits.values())).features._to_yaml_list()
        described.append({"config_name": config, "features": features, "splits": sizes})
    return f"---\n{yaml.safe_dump({'configs': listed, 'dataset_info': described})}---\n".encode()


@dataclass(frozen=True)
class Repository:
    """One dataset repository at its only commit."""

    revision: str
    """The commit, which is also what ``main`` means."""
    files: Mapping[str, bytes]
    """Path in the repository to content."""

    def tree(self, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """What lies in a folder ("" for the root), in the Hub's words."""
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path in (path for path in self.files if path.startswith(prefix)):
            parts = path.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) + 1 if recursive else 2):
                name = prefix + "/".join(parts[:depth])
                found[name] = self.entry(name)
        return list(found.values())

    def entry(self, path: str) -> dict[str, Any]:
        """A file, or else a folder, in the Hub's words."""
        if path in self.files:
            return {"type": "file", "path": path, "size": len(self.files[path]), "oid": self.oid(path)}
        return {"type": "directory", "path": path, "oid": sha1(path.encode()).hexdigest()}

    def holds(self, path: str) -> bool:
        """Whether there is a file or folder of this name."""
        return path in self.files or any(file.startswith(f"{path}/") for file in self.files)

    def oid(self, path: str) -> str:
        """Names a file's content; its ETag."""
        return sha1(self.files[path]).hexdigest()


@dataclass
class Hub:
    """The server; a context manager that listens on a free port of 127.0.0.1."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    """By ``owner/name``; may grow while the server runs."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(repository, revision as asked for, file path or API word) of every request so far."""

    def add(self, name: str, files: Mapping[str, bytes], revision: str | None = None) -> None:
        """Holds a repository; without ``revision`` its commit is made up from the content."""
        made_up = sha1(b"".join(path.encode() + files[path] for path in sorted(files))).hexdigest()
        self.repositories[name] = Repository(revision or made_up, dict(files))

    def add_dataset(self, name: str, configs: Mapping[str, Splits], revision: str | None = None) -> None:
        """Holds a dataset as most are published: one Parquet file for each split of each config, and a card."""
        stems = {(config, split): f"{config}/{split}-" for config, splits in configs.items() for split in splits}
        files = {f"{stem}00000-of-00001.parquet": parquet(configs[c][s]) for (c, s), stem in stems.items()}
        files["README.md"] = card(configs, {key: f"{stem}*" for key, stem in stems.items()})
        self.add(name, files, revision)

    def environment(self, home: Path) -> dict[str, str]:
        """Environment variables that send a process's Hub clients here, with a cache of their own in ``home``."""
        here = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        return here | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _NotHere(Exception):
    """Answered 404 with this error code."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: with Nagle each answer waits 40 ms

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        try:
            if api := _API.fullmatch(url.path):
                self._answer_api(*(unquote(part or "") for part in api.groups()), parse_qs(body or url.query))
            elif file := _FILE.fullmatch(url.path):
                self._answer_file(*map(unquote, file.groups()))
            else:
                raise _NotHere("RepoNotFound")
        except _NotHere as error:
            self._send(404, b"", {"X-Error-Code": str(error)})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def _answer_api(self, name: str, word: str, revision: str, path: str, query: dict[str, list[str]]) -> None:
        repository = self._find(name, revision or "main", word or "info")
        answer: Any
        if word == "tree":
            answer = repository.tree(path, recursive=query.get("recursive", [""])[0].lower() in ("true", "1"))
            if not answer:
                raise _NotHere("EntryNotFound")
        elif word == "paths-info":
            answer = [repository.entry(path) for path in query.get("paths", []) if repository.holds(path)]
        else:
            siblings = [{"rfilename": path} for path in repository.files]
            flags = {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
            answer = {"id": name, "sha": repository.revision, "siblings": siblings, **flags}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _answer_file(self, name: str, revision: str, path: str) -> None:
        repository = self._find(name, revision, path)
        if path not in repository.files:
            raise _NotHere("EntryNotFound")
        headers = {"ETag": f'"{repository.oid(path)}"', "X-Repo-Commit": repository.revision}
        self._send(200, repository.files[path], headers)

    def _find(self, name: str, revision: str, what: str) -> Repository:
        self.hub.asked.append((name, revision, what))
        repository = self.hub.repositories.get(name)
        if repository is None:
            raise _NotHere("RepoNotFound")
        if revision not in ("main", repository.revision):
            raise _NotHere("RevisionNotFound")
        return repository

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing: tests read ``Hub.asked``."""
