"""The server, what it holds, and what it is told to refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

from hub._content import Blob, Commit, Repository
from hub._datasets import Splits, published
from hub._handler import Handler

WRITER = "hf_StandInTokenThatMayWriteToOrgAndNoOther"
"""The token that may write to the namespace ``org``."""


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of, or before, its usual answer."""

    endpoint: str
    """Which request: ``info``, ``tree``, ``paths-info``, ``resolve``, ``whoami``, ``create``, ``validate-yaml``,
    ``preupload``, ``lfs-batch``, ``lfs-upload``, ``lfs-verify`` or ``commit``."""
    status: int = 0
    """The answer's; 0 cuts the connection without one."""
    message: str = ""
    """What the answer says."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The answer's own."""
    landed: bool = False
    """Whether the request has its effect all the same, which the client then cannot see."""
    action: Callable[[], object] | None = None
    """Done before the usual answer, which then follows: somebody else who is a little faster."""


@dataclass
class Hub:
    """A context manager that listens on a free port of 127.0.0.1."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    """Datasets by ``owner/name``, Spaces by ``spaces/owner/name``; may grow while the server runs."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(repository, revision as asked for, file path or API word) of every request so far."""
    tokens: dict[str, frozenset[str]] = field(default_factory=lambda: {WRITER: frozenset({"org"})})
    """The namespaces that each valid token may write to."""
    faults: list[Fault] = field(default_factory=list)
    """Each hits the next request to its endpoint, first come, first served."""
    page: int = 1000
    """Entries of a tree in one answer."""
    lag: int = 0
    """So many times the head that is told is the one before the newest."""
    commit_seconds: float = 0.0
    """How long a commit holds the lock; another that comes meanwhile is answered 409."""
    lock: Lock = field(default_factory=Lock)
    """Held where the above are changed by a request."""

    def add(self, name: str, files: Mapping[str, bytes], revision: str | None = None) -> Repository:
        """Holds a dataset repository at one commit; without ``revision`` it is made up from the content."""
        made_up = sha1(b"".join(path.encode() + files[path] for path in sorted(files))).hexdigest()
        blobs = {path: Blob(content) for path, content in files.items()}
        self.repositories[name] = Repository([Commit(revision or made_up, "initial commit", blobs)])
        return self.repositories[name]

    def add_dataset(self, name: str, configs: Mapping[str, Splits], revision: str | None = None) -> None:
        """Holds a dataset as most are published: one Parquet file for each split of each config, and a card."""
        self.add(name, published(configs), revision)

    def add_space(
        self, name: str, files: Mapping[str, bytes], sdk: str = "static", private: bool = False
    ) -> Repository:
        """Holds a Space at one commit."""
        blobs = {path: Blob(content) for path, content in files.items()}
        space = Repository([Commit(sha1(name.encode()).hexdigest(), "initial commit", blobs)], private, sdk)
        self.repositories[f"spaces/{name}"] = space
        return space

    def fail(self, endpoint: str, status: int = 0, message: str = "", *, landed: bool = False, times: int = 1) -> None:
        """The next so many requests to an endpoint are refused, or cut where no status is given."""
        self.faults += [Fault(endpoint, status, message, landed=landed)] * times

    def before(self, endpoint: str, action: Callable[[], object]) -> None:
        """Somebody does something just before the next request to an endpoint is answered."""
        self.faults.append(Fault(endpoint, action=action))

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
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
