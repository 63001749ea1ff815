"""The server, and what it holds."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from hub._blob import Blob
from hub._content import LARGE, Repository, stamp
from hub._datasets import Splits, published
from hub._faults import Faults
from hub._handler import Handler
from hub._job_routes import JOBS
from hub._jobs import Job
from hub._reading import READING
from hub._writing import WRITING

WRITER = "hf_StandInTokenThatMayWriteToOrgAndNoOther"
"""The token that may write to the namespace ``org``."""
WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".pkl", ".pt", ".pth", ".safetensors")
"""How the names of a model's large files end."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # connections that wait to be taken: many clients may come at one moment

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone, or was killed, is no error of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@dataclass
class Hub(Faults):
    """A context manager that listens on a free port of 127.0.0.1."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    """Datasets by ``owner/name``, Spaces by ``spaces/owner/name``, models by ``models/owner/name``; may grow while the
    server runs."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(repository, revision as asked for, file path or API word) of every request so far."""
    tokens: dict[str, frozenset[str]] = field(default_factory=lambda: {WRITER: frozenset({"org"})})
    """The namespaces that each valid token may write to."""
    page: int = 1000
    """Entries of a tree, models or jobs in one answer."""
    lag: int = 0
    """So many times the head that is told is the one before the newest."""
    commit_seconds: float = 0.0
    """How long a commit holds the lock; another that comes meanwhile is answered 409."""
    history: int | None = None
    """The commits of each repository whose trees are held; None for all. Older ones are answered 404."""
    commits_per_hour: int | None = None
    """So many commits land with one token; more are answered 429 with Retry-After."""
    ranges: bool = True
    """Whether a part of a file is sent where a part is asked for; otherwise all of it, as some mirrors do."""
    sent: int = 0
    """Bytes of files that were sent so far."""
    latency: float = 0.0
    """Seconds before each answer."""
    bytes_per_second: float | None = None
    """Of files, all connections together; None for as fast as it goes."""
    free_at: float = 0.0
    """When what has been sent so far would be through at that pace."""
    hour: float = 3600.0
    """The seconds of that hour."""
    committed: dict[str, deque[float]] = field(default_factory=dict)
    """When commits landed in the last hour, by token; kept where ``commits_per_hour`` is set."""
    refused_commits: int = 0
    """How many were refused for ``commits_per_hour``."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """By id, oldest first."""
    runner: Callable[[Job], int] | None = None
    """Runs each new job in a thread and returns its exit code; None leaves that to the test."""

    def add(self, name: str, files: Mapping[str, bytes], revision: str | None = None) -> Repository:
        """Holds a dataset repository at one commit; without ``revision`` it is made up from the content."""
        return self._hold(name, Repository([]), {path: Blob(content) for path, content in files.items()}, revision)

    def add_dataset(self, name: str, configs: Mapping[str, Splits], revision: str | None = None) -> None:
        """Holds a dataset as most are published: one Parquet file for each split of each config, and a card."""
        self.add(name, published(configs), revision)

    def add_space(
        self, name: str, files: Mapping[str, bytes], sdk: str = "static", private: bool = False
    ) -> Repository:
        """Holds a Space at one commit."""
        blobs = {path: Blob(content) for path, content in files.items()}
        revision = sha1(name.encode()).hexdigest()
        return self._hold(f"spaces/{name}", Repository([], private, sdk), blobs, revision)

    def add_model(
        self,
        name: str,
        files: Mapping[str, bytes | Path] | Path,
        *,
        revision: str | None = None,
        gated: bool | str = False,
        private: bool = False,
        tags: tuple[str, ...] = (),
        pipeline_tag: str | None = "text-generation",
        downloads: int = 0,
        likes: int = 0,
        created: datetime | None = None,
        lies: Mapping[str, int] | None = None,
    ) -> Repository:
        """Holds a model at one commit.

        Args:
            name: ``owner/name``.
            files: contents by path, or files on disk, or a folder of them, which are read only when they are asked for.
            revision: made up from the content where it is not given.
            gated: ``auto`` or ``manual``: its files go only to its writers and to ``Repository.readers``.
            private: whether only its writers see it.
            tags: beside those that the Hub finds by itself.
            pipeline_tag: where the card says nothing.
            downloads: of the last month.
            likes: of all time.
            created: when; now, where it is not given.
            lies: the sizes that are told of some files, which are served as they are.
        """
        if isinstance(files, Path):
            files = {path.relative_to(files).as_posix(): path for path in files.rglob("*") if path.is_file()}
        blobs = {}
        for path, content in files.items():
            blob = Blob(content)
            large = path.endswith(WEIGHTS) or blob.size >= LARGE
            blobs[path] = Blob(content, large, (lies or {}).get(path))
        model = Repository(
            [],
            private,
            gated=gated,
            tags=tuple(tags),
            pipeline_tag=pipeline_tag,
            downloads=downloads,
            likes=likes,
            created=stamp(created),
        )
        return self._hold(f"models/{name}", model, blobs, revision)

    def _hold(
        self, key: str, repository: Repository, blobs: Mapping[str, Blob], revision: str | None = None
    ) -> Repository:
        repository.commit("initial commit", blobs, revision or "", repository.created)
        self.repositories[key] = repository
        return repository

    def pace(self, n: int) -> None:
        """Counts so many bytes of a file, and waits as long as they take."""
        with self.lock:
            self.sent += n
            if self.bytes_per_second is None:
                return
            self.free_at = max(self.free_at, time.monotonic()) + n / self.bytes_per_second
            until = self.free_at
        time.sleep(max(0.0, until - time.monotonic()))

    def environment(self, home: Path) -> dict[str, str]:
        """Environment variables that send a process's Hub clients here, with a cache of their own in ``home``.

        Large files come by the older protocol, not by Xet's, which is another service.
        """
        here = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        return here | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        routes = (*READING, *WRITING, *JOBS)
        self._server = _Server(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self, "routes": routes}))
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for job in list(self.jobs.values()):
            job.end("CANCELED")
        self._server.shutdown()
        self._server.server_close()
