"""What the clients ask for."""

from __future__ import annotations

import re
from typing import Any

from hub._exchange import API_NAME, PAGE_NAME, Answer, Refusal, Request, Route
from hub._models import described, listed


def _info(request: Request) -> Answer:
    kind, name, word, revision = request.parts
    repository, commit = request.repository(word or "info", revision or "main")
    with request.hub.lock:
        if not revision and request.hub.lag and len(repository.commits) > 1:
            request.hub.lag -= 1
            commit = repository.commits[-2]
    answer: dict[str, Any] = {
        "id": name,
        "author": name.partition("/")[0],
        "sha": commit.oid,
        "lastModified": commit.when,
        "createdAt": repository.created,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": repository.downloads,
        "likes": repository.likes,
        "tags": [],
    }
    if repository.sdk:
        sdk = commit.card.get("sdk", repository.sdk)
        answer |= {"sdk": sdk, "cardData": commit.card, "tags": [sdk, *commit.card.get("tags", []), "region:us"]}
    if kind == "models":
        answer |= described(repository, commit)
    wanted = request.query.get("expand")
    if not wanted or "siblings" in wanted:
        answer["siblings"] = list(commit.siblings(sizes=request.option("blobs") == "true"))
    return Answer({key: value for key, value in answer.items() if not wanted or key in (*wanted, "id")})


def _tree(request: Request) -> Answer:
    _, _, revision, folder = request.parts
    _, commit = request.repository("tree", revision)
    if folder and not isinstance(commit.files.at(folder), dict):
        raise Refusal(404, f'{folder} does not exist on "{revision}"', "EntryNotFound")
    start = int(request.option("cursor") or 0)
    end = start + request.hub.page
    entries = commit.tree(folder, request.option("recursive").lower() in ("true", "1"), start, end + 1)
    return Answer(entries[: request.hub.page], request.following(end, more=len(entries) > request.hub.page))


def _paths_info(request: Request) -> Answer:
    _, _, revision = request.parts
    _, commit = request.repository("paths-info", revision)
    entries = (commit.entry(path) for path in request.query.get("paths", []))
    return Answer([entry for entry in entries if entry])


def _file(request: Request) -> Answer:
    _, _, revision, path = request.parts
    repository, commit = request.repository(path, revision)
    if repository.gated and not request.may_write() and request.token not in repository.readers:
        message = f"Access to {request.parts[1]} is restricted. You must have access to it and be authenticated."
        raise Refusal(403 if request.token else 401, message, "GatedRepo")
    if path not in commit.files:
        raise Refusal(404, "Entry not found", "EntryNotFound")
    blob = commit.files[path]
    told = {"ETag": f'"{blob.known_as}"', "X-Repo-Commit": commit.oid}
    if blob.large and request.hub.links is not None:
        elsewhere = request.hub.url.replace("127.0.0.1", "localhost")
        linked = {"X-Linked-Size": str(blob.told_size), "X-Linked-ETag": f'"{blob.known_as}"'}
        place = f"{elsewhere}/elsewhere/{request.parts[1]}/{path}?signed={len(request.hub.asked)}"
        return Answer(b"", told | linked | {"Location": place}, 302)
    return Answer(blob, told)


def _elsewhere(request: Request) -> Answer:
    """A large file on another server, which signs for itself."""
    name, path = request.parts
    if request.token is not None:
        raise Refusal(400, "Only one auth mechanism allowed")
    with request.hub.lock:
        request.hub.link_uses[request.option("signed")] += 1
    if request.hub.links is None or request.hub.link_uses[request.option("signed")] > request.hub.links:
        raise Refusal(403, "Request has expired")
    return Answer(request.hub.repositories[f"models/{name}"].head.files[path])


def _whoami(request: Request) -> Answer:
    request.hub.asked.append(("", "", "whoami"))
    if request.token is None:
        raise Refusal(401, "Invalid username or password.")
    organisations = [{"type": "org", "name": name} for name in sorted(request.hub.tokens[request.token])]
    auth = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
    return Answer({"type": "user", "name": "tester", "orgs": organisations, "auth": auth})


READING: tuple[Route, ...] = (
    ("GET", re.compile(rf"/api/{API_NAME}(?:/(revision)/([^/]+))?"), "info", _info),
    ("GET", re.compile(rf"/api/{API_NAME}/tree/([^/]+)(?:/(.*))?"), "tree", _tree),
    ("GET POST", re.compile(rf"/api/{API_NAME}/paths-info/([^/]+)"), "paths-info", _paths_info),
    ("GET", re.compile(rf"/{PAGE_NAME}/resolve/([^/]+)/(.+)"), "resolve", _file),
    ("GET", re.compile(r"/elsewhere/([^/]+/[^/]+)/(.+)"), "elsewhere", _elsewhere),
    ("GET", re.compile(r"/api/whoami-v2"), "whoami", _whoami),
    ("GET", re.compile(r"/api/models"), "models", listed),
)
