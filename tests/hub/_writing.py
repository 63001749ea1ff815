"""What the clients send to write: a repository, large files, commits."""

from __future__ import annotations

import json
import math
import re
import time
from base64 import b64decode
from collections import deque
from typing import Any

import yaml

from hub._blob import Blob
from hub._content import Commit, Repository, front_matter
from hub._exchange import API_NAME, PAGE_NAME, Answer, Refusal, Request, Route, key_of

ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.zip filter=lfs diff=lfs merge=lfs -text\n"
"""Which files are large in a new repository: two lines of the Hub's many."""
BATCH = 256
"""Files that may be asked about at once."""


def _create(request: Request) -> Answer:
    asked = request.json
    namespace, kind = asked["organization"], f"{asked.get('type') or 'model'}s"
    name = f"{namespace}/{asked['name']}"
    request.hub.asked.append((name, "main", "create"))
    request.demand_right(namespace)
    key = key_of(kind, name)
    made = {"url": f"{request.hub.url}/{name if kind == 'models' else f'{kind}/{name}'}", "name": name}
    with request.hub.lock:
        if key in request.hub.repositories:
            raise Refusal(409, f"You already created this {kind[:-1]} repo: {name}", body=made)
        files = {".gitattributes": ATTRIBUTES}
        if kind == "spaces":
            readme = f"---\ntitle: {asked['name']}\nsdk: {asked['sdk']}\n---\n".encode()
            files |= {"README.md": readme, "index.html": b"<p>Hello", "style.css": b"p {}\n"}
        repository = Repository(
            [], asked.get("visibility") == "private" or bool(asked.get("private")), asked.get("sdk")
        )
        repository.commit(f"initial commit of {key}", {path: Blob(content) for path, content in files.items()})
        request.hub.repositories[key] = repository
    return Answer(made)


def _validate(request: Request) -> Answer:
    request.hub.asked.append(("", "", "validate-yaml"))
    errors = _card_errors(request.json["content"].encode())
    return Answer({"errors": errors, "warnings": []}, status=400 if errors else 200)


def _preupload(request: Request) -> Answer:
    _, _, revision = request.parts
    _, commit = request.repository("preupload", revision)
    request.demand_right()
    files = request.json["files"]
    if len(files) > BATCH:
        raise Refusal(413, "too many files")
    told = []
    for file in files:
        path = file["path"]
        mode = "lfs" if commit.is_large(path, file["size"]) else "regular"
        held = commit.files.at(path)
        known = {"oid": held.known_as} if isinstance(held, Blob) else {}
        told.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
    return Answer({"files": told})


def _lfs_batch(request: Request) -> Answer:
    repository, _ = request.repository("lfs-batch")
    request.demand_right()
    kind, name = request.parts
    objects: list[dict[str, Any]] = []
    for asked in request.json["objects"]:
        href = f"{request.hub.url}/lfs/{kind or 'models'}/{name}/{asked['oid']}"
        actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
        objects.append(asked | ({} if asked["oid"] in repository.stored else {"actions": actions}))
    return Answer({"transfer": "basic", "objects": objects})


def _lfs_upload(request: Request) -> Answer:
    # The URL itself is the right to upload: no token comes with it.
    request.hub.asked.append((request.key, "main", "lfs-upload"))
    oid = request.parts[2]
    blob = Blob(request.body, large=True)
    if blob.sha256 != oid:
        raise Refusal(400, "the content has another hash")
    request.hub.repositories[request.key].stored[oid] = blob
    return Answer()


def _lfs_verify(request: Request) -> Answer:
    repository, _ = request.repository("lfs-verify")
    if request.parts[2] not in repository.stored:
        raise Refusal(404, "not uploaded")
    return Answer({})


def _commit(request: Request) -> Answer:
    kind, name, revision = request.parts
    repository, _ = request.repository("commit", revision)
    request.demand_right()
    _demand_quota(request)
    if not repository.writing.acquire(blocking=False):
        raise Refusal(409, "Another commit operation is in progress for this repository. Please try again later.")
    try:
        if request.hub.commit_seconds:
            time.sleep(request.hub.commit_seconds)
        lines = [json.loads(line) for line in request.body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if not repository.head.oid.startswith(header.get("parentCommit", "")):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        changes: dict[str, Blob | None] = {}
        for line in lines:
            _apply(line["key"], line["value"], changes, repository)
        made: Commit = repository.commit(header["summary"], changes)
        if request.hub.history is not None:
            repository.forget(request.hub.history)
        if request.hub.commits_per_hour is not None:
            request.hub.committed.setdefault(str(request.token), deque()).append(time.monotonic())
    finally:
        repository.writing.release()
    url = f"{request.hub.url}/{kind}/{name}/commit/{made.oid}"
    return Answer({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def _demand_quota(request: Request) -> None:
    """Refuses who has made as many commits in the last hour as are allowed, whatever repositories they went to."""
    hub, now = request.hub, time.monotonic()
    if hub.commits_per_hour is None:
        return
    with hub.lock:
        made = hub.committed.setdefault(str(request.token), deque())
        while made and made[0] <= now - hub.hour:
            made.popleft()
        if len(made) < hub.commits_per_hour:
            return
        wait = math.ceil(made[0] + hub.hour - now)
        hub.refused_commits += 1
    message = f"You have exceeded the rate limit for repository commits ({hub.commits_per_hour} per hour)."
    raise Refusal(429, message, headers={"Retry-After": str(wait)})


def _apply(key: str, value: dict[str, Any], changes: dict[str, Blob | None], repository: Repository) -> None:
    path = value.get("path", "")
    if key == "file":
        content = b64decode(value["content"])
        if path == "README.md" and (errors := _card_errors(content)):
            raise Refusal(400, errors[0]["message"])
        changes[path] = Blob(content)
    elif key == "lfsFile":
        if value["oid"] not in repository.stored:
            raise Refusal(400, f"LFS pointer of {path} points to a file that does not exist")
        changes[path] = repository.stored[value["oid"]]
    elif key == "deletedFile":
        if changes.get(path, repository.head.files.at(path)) is None:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        changes[path] = None
    elif key == "deletedFolder":
        found = repository.head.files.walk(path.rstrip("/"))
        inside = {file for file, node in found if isinstance(node, Blob)}
        inside |= {file for file in changes if file.startswith(f"{path.rstrip('/')}/")}
        inside = {file for file in inside if changes.get(file, True) is not None}
        if not inside:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        changes |= dict.fromkeys(inside)


def _card_errors(readme: bytes) -> list[dict[str, str]]:
    try:
        card = front_matter(readme)
    except yaml.YAMLError as error:
        return [{"message": f"invalid YAML: {str(error).splitlines()[0]}"}]
    return [] if isinstance(card, dict) else [{"message": "the metadata is no mapping"}]


WRITING: tuple[Route, ...] = (
    ("POST", re.compile(r"/api/repos/create"), "create", _create),
    ("POST", re.compile(r"/api/validate-yaml"), "validate-yaml", _validate),
    ("POST", re.compile(rf"/api/{API_NAME}/preupload/([^/]+)"), "preupload", _preupload),
    ("POST", re.compile(rf"/{PAGE_NAME}\.git/info/lfs/objects/batch"), "lfs-batch", _lfs_batch),
    ("PUT", re.compile(rf"/lfs/{API_NAME}/([0-9a-f]+)"), "lfs-upload", _lfs_upload),
    ("POST", re.compile(rf"/lfs/{API_NAME}/([0-9a-f]+)/verify"), "lfs-verify", _lfs_verify),
    ("POST", re.compile(rf"/api/{API_NAME}/commit/([^/]+)"), "commit", _commit),
)
