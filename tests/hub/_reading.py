"""What the clients ask for."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

from hub._handler import Answer, Refusal, Request, Route

NAME = r"(datasets|spaces)/([^/]+/[^/]+)"


def _info(request: Request) -> Answer:
    _, name, word, revision = request.parts
    repository, commit = request.repository(word or "info", revision or "main")
    with request.hub.lock:
        if not revision and request.hub.lag and len(repository.commits) > 1:
            request.hub.lag -= 1
            commit = repository.commits[-2]
    flags = {"private": repository.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
    siblings = [{"rfilename": path} for path in commit.files]
    answer: dict[str, Any] = {"id": name, "sha": commit.oid, "siblings": siblings, **flags}
    if repository.sdk:
        card = commit.card()
        sdk = card.get("sdk", repository.sdk)
        answer |= {"sdk": sdk, "cardData": card, "tags": [sdk, *card.get("tags", []), "region:us"]}
    return Answer(answer)


def _tree(request: Request) -> Answer:
    _, _, revision, folder = request.parts
    _, commit = request.repository("tree", revision)
    query = {key: values[0] for key, values in request.query.items()}
    entries = commit.tree(folder, recursive=query.get("recursive", "").lower() in ("true", "1"))
    if folder and not entries:
        raise Refusal(404, f'{folder} does not exist on "{revision}"', "EntryNotFound")
    start = int(query.get("cursor", "0"))
    end = start + request.hub.page
    headers = {}
    if end < len(entries):
        following = f"{request.hub.url}{urlsplit(request.path).path}?{urlencode(query | {'cursor': end})}"
        headers["Link"] = f'<{following}>; rel="next"'
    return Answer(entries[start:end], headers)


def _paths_info(request: Request) -> Answer:
    _, _, revision = request.parts
    _, commit = request.repository("paths-info", revision)
    return Answer([commit.entry(path) for path in request.query.get("paths", []) if commit.holds(path)])


def _file(request: Request) -> Answer:
    _, _, revision, path = request.parts
    _, commit = request.repository(path, revision)
    if path not in commit.files:
        raise Refusal(404, "Entry not found", "EntryNotFound")
    blob = commit.files[path]
    return Answer(blob.content, {"ETag": f'"{blob.known_as}"', "X-Repo-Commit": commit.oid})


def _whoami(request: Request) -> Answer:
    request.hub.asked.append(("", "", "whoami"))
    if request.token is None:
        raise Refusal(401, "Invalid username or password.")
    organisations = [{"type": "org", "name": name} for name in sorted(request.hub.tokens[request.token])]
    auth = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
    return Answer({"type": "user", "name": "tester", "orgs": organisations, "auth": auth})


READING: tuple[Route, ...] = (
    ("GET", re.compile(rf"/api/{NAME}(?:/(revision)/([^/]+))?"), "info", _info),
    ("GET", re.compile(rf"/api/{NAME}/tree/([^/]+)(?:/(.*))?"), "tree", _tree),
    ("GET POST", re.compile(rf"/api/{NAME}/paths-info/([^/]+)"), "paths-info", _paths_info),
    ("GET", re.compile(rf"/{NAME}/resolve/([^/]+)/(.+)"), "resolve", _file),
    ("GET", re.compile(r"/api/whoami-v2"), "whoami", _whoami),
)
