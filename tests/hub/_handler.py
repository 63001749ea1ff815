"""From a request to the function that answers it, by way of the queued faults."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from hub._content import Commit, Repository
    from hub._server import Fault, Hub


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
        kind, name = self.parts[:2]
        return name if kind == "datasets" else f"{kind}/{name}"

    def repository(self, what: str, revision: str = "main") -> tuple[Repository, Commit]:
        """The repository and the commit that are asked for, and keeps a record of what was asked."""
        self.hub.asked.append((self.key, revision, what))
        repository = self.hub.repositories.get(self.key)
        if repository is None or (repository.private and not self.may_write()):
            # Who does not say who they are does not learn what there is.
            anonymous = Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound") if self.token else anonymous
        commit = repository.at(revision)
        if commit is None:
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


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    content: bytes | Any = b""
    """Bytes, or what becomes JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside the usual."""
    status: int = 200
    """Of HTTP."""


class Refusal(Exception):
    """Answered with this status and message."""

    def __init__(self, status: int, message: str, code: str = "", body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = Answer({"error": message} | dict(body or {}), headers, status)


Route = tuple[str, "re.Pattern[str]", str, Callable[[Request], Answer]]
"""Methods, the URL's path, the endpoint's name, and what answers."""


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: with Nagle each answer waits 40 ms

    def _handle(self) -> None:
        from hub._reading import READING
        from hub._writing import WRITING

        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        method = "GET" if self.command == "HEAD" else self.command
        for methods, pattern, endpoint, function in (*READING, *WRITING):
            match = pattern.fullmatch(url.path)
            if match and method in methods.split():
                parts = tuple(unquote(part or "") for part in match.groups())
                query = parse_qs(body.decode() if form else url.query)
                self._meet(endpoint, function, Request(self.hub, self.path, parts, query, body, token))
                return
        self._send(Refusal(404, "Not found", "RepoNotFound").answer)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _meet(self, endpoint: str, function: Callable[[Request], Answer], request: Request) -> None:
        """Answers, unless a fault is due."""
        fault = self._due(endpoint)
        if fault and fault.action:
            fault.action()
        spoiled = fault is not None and fault.action is None
        if not spoiled or (fault and fault.landed):
            try:
                if request.token and request.token not in self.hub.tokens:
                    raise Refusal(401, "Invalid credentials in Authorization header")
                answer = function(request)
            except Refusal as refusal:
                answer = refusal.answer
        if fault is None or not spoiled:
            self._send(answer)
        elif fault.status:
            self._send(Answer({"error": fault.message}, fault.headers, fault.status))
        else:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _due(self, endpoint: str) -> Fault | None:
        with self.hub.lock:
            found = next((fault for fault in self.hub.faults if fault.endpoint == endpoint), None)
            if found:
                self.hub.faults.remove(found)
            return found

    def _send(self, answer: Answer) -> None:
        raw = isinstance(answer.content, bytes)
        content = answer.content if raw else json.dumps(answer.content).encode()
        headers = {} if raw else {"Content-Type": "application/json"}
        self.send_response(answer.status)
        for key, value in (headers | dict(answer.headers) | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing: tests read ``Hub.asked``."""
