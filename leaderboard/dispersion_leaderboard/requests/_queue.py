"""The queue of requests: who may have which, decided by commits on top of the state that was read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dispersion_leaderboard.requests._request import BadRequest, Request
from dispersion_leaderboard.requests._states import Entry, Shard
from dispersion_leaderboard.store import Tree

Entries = Mapping[str, Entry]
"""By key of the request."""
_STATES = "states"


def shard_of(key: str) -> str:
    """Which of the sixteen files of states holds a request."""
    return key[0]


@dataclass(frozen=True)
class Change:
    """What one commit is to make of the entries that were read; may be empty."""

    title: str
    """Of the commit."""
    entries: Entries = field(default_factory=dict)
    """New and changed ones."""
    requests: Mapping[str, Request] = field(default_factory=dict)
    """New ones, by key."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """Last lines of runs, by key."""


class Queue:
    """On a tree: ``requests/<two digits>/<key>.json``, ``states/<digit>.json``, ``logs/<two digits>/<key>.txt``.

    Methods raise ``hub.Refused`` where the store cannot be read or written.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._shards: dict[str, tuple[str, Shard]] = {}
        """By path: the name of the content, and what it says."""

    def entries(self) -> dict[str, Entry]:
        """All of them, as the newest head has them."""
        return self._read(self.tree.head())

    def change(self, decide: Callable[[Entries], Change]) -> Entries:
        """Decides on the entries as they are, and commits; where somebody else was first, decides again.

        Args:
            decide: called with all entries, perhaps several times: what it has decided before may have come true
                although the answer got lost.

        Returns:
            All entries as they are now, the change included.
        """

        def attempt(head: str) -> Entries:
            entries = self._read(head)
            wanted = decide(entries)
            files = self._files(wanted)
            if files:
                self.tree.commit(files, head, wanted.title)
            return {**entries, **wanted.entries}

        return self.tree.on_newest(attempt)

    def requests(self, keys: Iterable[str]) -> dict[str, Request | BadRequest]:
        """What was asked for, by key; or why its file, which may be anyone's, does not say."""
        head = self.tree.head()
        found: dict[str, Request | BadRequest] = {}
        for key in keys:
            try:
                found[key] = self._request(key, head)
            except BadRequest as error:
                found[key] = error
        return found

    def logs(self, keys: Iterable[str]) -> dict[str, str]:
        """The last lines of runs, where there are any."""
        files = {_log_file(key): key for key in keys}
        found = self.tree.download(files.keys(), self.tree.head()) if files else {}
        return {files[path]: content.decode("utf-8", "replace") for path, content in found.items()}

    def _read(self, head: str) -> dict[str, Entry]:
        files = self.tree.files(_STATES, head)
        for path, content in files.items():
            known, before = self._shards.get(path, ("", None))
            if known != content:
                self._shards[path] = (content, Shard.load(self.tree.read(path, head) or b"{}", before))
        self._shards = {path: self._shards[path] for path in files}
        return {key: entry for _, shard in self._shards.values() for key, entry in shard.entries.items()}

    def _request(self, key: str, head: str) -> Request:
        content = self.tree.read(_request_file(key), head)
        if content is None:
            raise BadRequest("it has no file")
        try:
            found = Request.from_json(json.loads(content))
        except BadRequest:
            raise
        except (ValueError, RecursionError) as error:
            raise BadRequest("its file is not JSON") from error
        if found.key != key:
            raise BadRequest("its file holds another request")
        if found.folder and not self.tree.local:
            raise BadRequest("it names a folder of some machine")
        return found

    def _files(self, wanted: Change) -> dict[str, bytes]:
        files = {_request_file(key): _json(request) for key, request in wanted.requests.items()}
        files |= {_log_file(key): text.encode() for key, text in wanted.logs.items()}
        changed: dict[str, dict[str, Entry]] = {}
        for key, entry in wanted.entries.items():
            changed.setdefault(f"{_STATES}/{shard_of(key)}.json", {})[key] = entry
        for path, entries in changed.items():
            before = self._shards[path][1] if path in self._shards else Shard()
            files[path] = Shard(before.entries | entries, before.kept).dump()
        return files


def _json(request: Request) -> bytes:
    return (json.dumps(request.to_json(), indent=1) + "\n").encode()


def _request_file(key: str) -> str:
    return f"requests/{key[:2]}/{key}.json"


def _log_file(key: str) -> str:
    return f"logs/{key[:2]}/{key}.txt"
