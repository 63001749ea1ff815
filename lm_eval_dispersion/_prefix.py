"""``dispersion_NAME``: any task, group and tag of lm_eval's index with dispersion recorded, made when asked for."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.seams.task_index import Entry, Kind, configuration

PREFIX = "dispersion_"
METRIC = "dispersion"
_GROUP = "dispersion"  # of our corpora
_TASKS = (Kind.TASK, Kind.PY_TASK)


class PrefixIndex(dict[str, Entry]):
    """lm_eval's index of tasks, which answers to ``dispersion_NAME`` for each NAME in it.

    Iteration and length are those of the real entries, so that lists of tasks do not double; a real entry wins. A
    group is lm_eval's own with prefixed members, a tag that of its members. A pattern is a tag of the tasks it matches.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__(entries)
        self.metadata: Mapping[str, Any] = {}
        """The task manager's, in which options of our tasks are given."""
        self._made: dict[str, Entry] = {}

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if not isinstance(name, str) or not name.startswith(PREFIX):
            return False
        return name in self._made or self._real(_unprefixed(name)) is not None or bool(self._tasks_matching(name))

    def __missing__(self, name: str) -> Entry:
        if name not in self:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's, for prefixed names, too."""
        return self[name] if name in self else default  # noqa: SIM401 (this is it)

    def __setitem__(self, name: str, entry: Entry) -> None:
        # lm_eval's factory puts a group's members back under their names: those made here would be listed from then on.
        if self._made.get(name) is not entry:
            super().__setitem__(name, entry)

    def matching(self, pattern: str, listed: Iterable[str] | None = None) -> set[str]:
        """The names that a pattern takes in.

        They are those that are listed, without tasks of ours that need an option which was not given; and where the
        pattern begins with the prefix and goes on with more than "anything", those made for what its rest matches.

        Args:
            pattern: as ``fnmatch`` takes it.
            listed: what it matches of the real names, where that is known.
        """
        real = fnmatch.filter(self, pattern) if listed is None else listed
        found = {name for name in real if not self._lacks_option(name)}
        if len(found) > 1:
            found.discard(_GROUP)  # what matches it matches its tasks, and lm_eval refuses to take a task twice
        rest = _unprefixed(pattern)
        if rest != pattern and rest.strip("*?"):
            found.update(PREFIX + name for name in fnmatch.filter(self, rest) if not self._recorded(name))
        return found

    def _real(self, name: str) -> Entry | None:
        return super().get(name)

    def _tasks_matching(self, pattern: str) -> set[str]:
        """Of what a pattern takes in, the tasks: a tag cannot hold groups, and other tags hold the same tasks."""
        names = self.matching(pattern) if is_pattern(pattern) else set()
        entries = {name: self._real(name) or self._real(_unprefixed(name)) for name in names}
        return {name for name, entry in entries.items() if entry is not None and entry.kind in _TASKS}

    def _lacks_option(self, name: str) -> bool:
        entry = self._real(name)
        config = (entry and entry.cfg) or {}
        if not str(config.get("custom_dataset")).endswith("corpora.user_text"):
            return False
        return not any(_options(metadata).get("text") for metadata in (config.get("metadata"), self.metadata))

    def _recorded(self, name: str) -> bool:
        """Whether a task records dispersion as it is, or all tasks of a group or tag do."""
        entry = self._real(name)
        if entry is None:
            return name in self
        if entry.kind in _TASKS:
            return records_dispersion(entry.cfg)
        members = entry.tags if entry.kind is Kind.TAG else [_named(item) for item in _listed(entry.cfg)]
        return bool(members) and all(isinstance(member, str) and self._recorded(member) for member in members)

    def _make(self, name: str) -> Entry:
        stock_name = _unprefixed(name)
        stock = self._real(stock_name)
        if stock is None:
            return Entry(name, Kind.TAG, None, tags=self._tasks_matching(name))
        if self._recorded(stock_name):
            raise TaskError(f"{name}: {stock_name} records dispersion already; ask for {stock_name}")
        if stock.kind is Kind.TAG:
            return Entry(name, Kind.TAG, None, tags={self._recording(member) for member in stock.tags})
        if stock.kind is Kind.GROUP:
            return Entry(name, Kind.GROUP, None, self._group(name, configuration(stock)) | {"group": name})
        return _task(name, wraps=stock_name)

    def _group(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """A group's configuration with members that record, and D aggregated where anything is."""
        config = dict(config)
        if isinstance(config.get("task"), list):
            config["task"] = [self._member(name, item) for item in config["task"]]
        if metrics := config.get("aggregate_metric_list"):
            metrics = [metrics] if isinstance(metrics, dict) else list(metrics)
            if not any(metric.get("metric") == METRIC for metric in metrics):
                metrics.append({"metric": METRIC, "weight_by_size": True})
            config["aggregate_metric_list"] = metrics
        return config

    def _member(self, group: str, item: Any) -> Any:
        """One of a group's list, as lm_eval's factory reads it: a name, or a dict that changes or describes one."""
        name = _named(item)
        if not isinstance(name, str):
            return item  # lm_eval says what is wrong with it
        if name in self:
            name = self._recording(name)
            return name if isinstance(item, str) else {**item, "group" if "group" in item else "task": name}
        if isinstance(item, dict) and "group" in item:
            return self._group(f"{group}::{name}", item)
        described = f"{group}::{name}"  # a task that only this group knows, by the name that the factory gives it
        self._made[described] = _task(described)
        return {**({} if isinstance(item, str) else item), "task": described}

    def _recording(self, name: str) -> str:
        return name if self._recorded(name) else PREFIX + name


def is_pattern(name: str) -> bool:
    """Whether a name stands for those that match it."""
    return any(character in name for character in "*?[")


def records_dispersion(config: Mapping[str, Any] | None) -> bool:
    """Whether a configuration, its functions resolved or not, makes a task of ours."""
    config = config or {}
    return "wraps" in config or "DispersionTask" in str(config.get("class"))


def _task(name: str, **wraps: str) -> Entry:
    from lm_eval_dispersion import DispersionTask

    return Entry(name, Kind.PY_TASK, None, {"task": name, **wraps, "class": DispersionTask})


def _unprefixed(name: str) -> str:
    return name.removeprefix(PREFIX)


def _listed(config: Mapping[str, Any] | None) -> list[Any]:
    members = (config or {}).get("task")
    return members if isinstance(members, list) else []


def _named(item: Any) -> Any:
    return item.get("group", item.get("task")) if isinstance(item, dict) else item


def _options(metadata: Any) -> Mapping[str, Any]:
    options = metadata.get("dispersion") if isinstance(metadata, Mapping) else None
    return options if isinstance(options, Mapping) else {}
