"""A request and its answer, as the functions behind the endpoints see them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from hub._blob import Blob
    from hub._content import Commit, Repository
    from hub._server import Hub

API_NAME = r"(datasets|spaces|models)/([^/]+/[^/]+)"
"""A repository where the programmatic interface names it."""
PAGE_NAME = r"(?:(datasets|spaces)/)?([^/]+/[^/]+)"
"""A repository where its page and its files are: a model has no prefix."""


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    hub: Hub
    """The server."""
    path: str
    """Of the URL, as sent."""
    parts: tuple[str, ...]
    """What the route's groups matched, unquoted."""
    query: Mapping[str, list[str]]
    """Of a form, else of the URL."""
    body: bytes
    """As sent."""
    token: str | None
    """Who asks."""

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def key(self) -> str:
        """Under which the hub holds the repository that the first two groups name."""
        return key_of(*self.parts[:2])

    def option(self, name: str) -> str:
        """A part of the query, empty where it is not there; booleans are in lower case."""
        return self.query.get(name, [""])[0]

    def repository(self, what: str, revision: str = "main") -> tuple[Repository, Commit]:
        """The repository and the commit that are asked for, and keeps a record of what was asked."""
        self.hub.asked.append((self.key, revision, what))
        repository = self.hub.repositories.get(self.key)
        if repository is None or (repository.private and not self.may_write()):
            # Who does not say who they are does not learn what there is.
            anonymous = Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound") if self.token else anonymous
        commit = repository.at(revision)
        if commit is None or commit.expired:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit

    def may_write(self, namespace: str = "") -> bool:
        """Whether the token has the right to."""
        return (namespace or self.parts[1].partition("/")[0]) in self.hub.tokens.get(self.token or "", ())

    def demand_right(self, namespace: str = "") -> None:
        """Refuses who may not write."""
        if self.token is None:
            raise Refusal(401, "Invalid username or password.")
        if not self.may_write(namespace):
            raise Refusal(403, "Forbidden: you don't have the required permissions to write here")

    def following(self, end: int, more: bool) -> dict[str, str]:
        """The header that names the page that begins with this entry, where there is more."""
        if not more:
            return {}
        query = {key: values for key, values in self.query.items() if key != "cursor"} | {"cursor": [str(end)]}
        following = f"{self.hub.url}{urlsplit(self.path).path}?{urlencode(query, doseq=True)}"
        return {"Link": f'<{following}>; rel="next"'}


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    content: bytes | Blob | Events | Any = b""
    """Bytes, a file, events, or what becomes JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside the usual."""
    status: int = 200
    """Of HTTP."""


@dataclass(frozen=True)
class Events:
    """Sent one after the other, as they come."""

    found: Iterator[Mapping[str, Any]]
    """Each becomes JSON."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self.found


class Refusal(Exception):
    """Answered with this status and message."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        told = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | dict(headers or {})
        self.answer = Answer({"error": message} | dict(body or {}), told, status)


Route = tuple[str, "re.Pattern[str]", str, Callable[[Request], Answer]]
"""Methods, the URL's path, the endpoint's name, and what answers."""


def key_of(kind: str, name: str) -> str:
    """Under which the hub holds a repository."""
    return name if kind == "datasets" else f"{kind or 'models'}/{name}"
