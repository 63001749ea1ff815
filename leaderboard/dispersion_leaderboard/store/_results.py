"""The store of results: what lm_eval wrote for a request and a group of tasks, once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial

from dispersion_leaderboard.store._tree import Tree

Part = tuple[str, str]
"""A request's key, and the name of a group of its tasks."""
Files = Mapping[str, bytes]
_BYTES = 30_000_000
"""Of results in one commit, which is sent as one request."""


class Results:
    """On a tree: ``<two digits>/<key>/<group>/`` holds what lm_eval wrote below its ``--output_path``."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def saved(self, wanted: Collection[Part]) -> set[Part]:
        """Which of these are in the store."""
        return self._saved(wanted, self.tree.head()) if wanted else set()

    def save(self, found: Mapping[Part, Files]) -> None:
        """Puts results into the store, each whole and once: what is there already, by whomever, stays as it is.

        Raises:
            Refused: where the store cannot be written to; what is not stored then can be saved again.
        """
        for some in _batches(found):
            self.tree.on_newest(partial(self._commit, some))

    def _commit(self, found: dict[Part, Files], head: str) -> None:
        there = self._saved(found, head)
        changes = {
            f"{_folder(part)}/{path}": content
            for part, files in found.items()
            if part not in there
            for path, content in files.items()
        }
        if changes:
            count = len(found) - len(there)
            self.tree.commit(changes, head, f"Results of {count} run{'s' if count > 1 else ''}")

    def _saved(self, wanted: Collection[Part], at: str) -> set[Part]:
        folders = {_folder(part): part for part in wanted}
        return {folders[path] for path in self.tree.present(folders.keys(), at)}


def _folder(part: Part) -> str:
    key, group = part
    return f"{key[:2]}/{key}/{group}"


def _batches(found: Mapping[Part, Files]) -> Iterator[dict[Part, Files]]:
    some: dict[Part, Files] = {}
    size = 0
    for part, files in found.items():
        bytes_of_part = sum(map(len, files.values()))
        if some and size + bytes_of_part > _BYTES:
            yield some
            some, size = {}, 0
        some[part] = files
        size += bytes_of_part
    if some:
        yield some
