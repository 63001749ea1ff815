"""From a request to the function that answers it, by way of the faults."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from hub._blob import Blob
from hub._exchange import Answer, Events, Refusal, Request, Route

if TYPE_CHECKING:
    from hub._server import Hub


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    routes: tuple[Route, ...]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: with Nagle each answer waits 40 ms

    def _handle(self) -> None:
        if self.hub.latency:
            time.sleep(self.hub.latency)
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        method = "GET" if self.command == "HEAD" else self.command
        for methods, pattern, endpoint, function in self.routes:
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
        fault = self.hub.due(endpoint, self.command == "HEAD")
        if fault and fault.action:
            fault.action()
        after = fault.after if fault else None
        spoiled = fault is not None and fault.action is None and after is None
        if not spoiled or (fault and fault.landed):
            try:
                if request.token and request.token not in self.hub.tokens:
                    raise Refusal(401, "Invalid credentials in Authorization header")
                answer = function(request)
            except Refusal as refusal:
                answer = refusal.answer
        if fault is None or not spoiled:
            self._send(answer, after)
        elif fault.status:
            self._send(Answer({"error": fault.message}, fault.headers, fault.status))
        else:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, answer: Answer, after: int | None = None) -> None:
        if isinstance(answer.content, Blob):
            self._send_blob(answer.content, answer, after)
            return
        if isinstance(answer.content, Events):
            self._send_events(answer.content)
            return
        raw = isinstance(answer.content, bytes)
        content = answer.content if raw else json.dumps(answer.content, default=str).encode()
        headers = {} if raw else {"Content-Type": "application/json"}
        self._head(answer.status, headers | dict(answer.headers) | {"Content-Length": str(len(content))})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_blob(self, blob: Blob, answer: Answer, after: int | None) -> None:
        """All of a file, or the range that is asked for; cut after so many bytes."""
        start, end, status = 0, blob.size, answer.status
        headers = dict(answer.headers) | ({"Accept-Ranges": "bytes"} if self.hub.ranges else {})
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if self.hub.ranges and wanted and any(wanted.groups()):
            first, last = wanted.groups()
            start = int(first) if first else max(0, end - int(last))
            end = min(end, int(last) + 1) if first and last else end
            if start >= end:
                self._head(416, headers | {"Content-Range": f"bytes */{blob.size}", "Content-Length": "0"})
                return
            status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{blob.size}"
        self._head(status, headers | {"Content-Length": str(end - start)})
        if self.command != "HEAD":
            for piece in blob.read(start, end if after is None else min(end, start + after)):
                self.hub.pace(len(piece))
                self.wfile.write(piece)
        if after is not None:
            self._cut()

    def _send_events(self, events: Events) -> None:
        """Server-sent events, as they come."""
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for event in events:
            line = f"data: {json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing: tests read ``Hub.asked``."""
