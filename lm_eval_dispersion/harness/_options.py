"""The options of our tasks, all in one key: ``--metadata '{"dispersion": {...}}'``.

lm_eval hands the metadata of a run to each of its tasks, and a task knows of no other. So a task takes what is of its
kind and leaves the rest to the others. What none of them takes is refused when the first of them builds its requests,
for by then all of them are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from lm_eval_dispersion._definition import DEFINITION_OPTIONS
from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora import SAMPLE_OPTIONS, TEXT_OPTIONS, hub_files, hub_split, selection, user_text

# What is measured, by the function that reads a task's documents.
_READING: dict[Callable[..., Any], tuple[str, ...]] = {
    user_text: TEXT_OPTIONS,
    hub_files: SAMPLE_OPTIONS,
    hub_split: SAMPLE_OPTIONS,
}
_EVERY = tuple(dict.fromkeys(name for names in (*_READING.values(), DEFINITION_OPTIONS) for name in names))


class Options:
    """Those of one task."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Reads a task's configuration, with functions resolved and the metadata of the run in it.

        Raises:
            TaskError: for an option that is of no task, or a sample that cannot be drawn.
        """
        self._task = str(config["task"])
        given = (config.get("metadata") or {}).get("dispersion")
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise TaskError(
                f'{self._task}: "dispersion" in --metadata must be an object, for example {{"text": "my/*.jsonl"}}'
            )
        if unknown := sorted(set(given) - set(_EVERY), key=str):
            raise TaskError(f"{self._task}: unknown option {unknown[0]!r} in --metadata; there are {', '.join(_EVERY)}")
        reading = _READING.get(config.get("custom_dataset"), ())  # type: ignore[arg-type]
        self._takes = (*reading, *DEFINITION_OPTIONS)  # every task is measured
        self._run = _run_of(given)
        self._run.taken.update(self._takes)
        self.values: dict[str, Any] = {name: value for name, value in given.items() if name in self._takes}
        """What the task does by, for its record: of what was given that which it takes, and the sample that is drawn,
        by default or on request (``max_documents`` and ``seed``, both or none)."""
        if set(SAMPLE_OPTIONS) <= set(reading):
            default = (config.get("dataset_kwargs") or {}).get("max_documents")
            chosen = selection(self._task, self.values, default)
            self.values = {n: v for n, v in self.values.items() if n not in SAMPLE_OPTIONS} | chosen

    def refuse_what_no_task_takes(self) -> None:
        """Called when all tasks of the run are there.

        Raises:
            TaskError: names this task, the option, and what it takes.
        """
        for name in self._run.given:
            if name not in self._run.taken:
                takes = ", ".join(self._takes)
                raise TaskError(f"{self._task}: takes no option {name!r} (in --metadata); it takes {takes}")


class _Run:
    """What was given, once for all tasks, and what those that are alive take of it."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = tuple(given)
        self.taken: set[str] = set()


# By the options that were given: tasks that were given the same are taken for those of one run.
_runs: WeakValueDictionary[str, _Run] = WeakValueDictionary()


def _run_of(given: Mapping[str, Any]) -> _Run:
    key = json.dumps(given, sort_keys=True, default=repr)
    run = _runs.get(key)
    if run is None:
        run = _runs[key] = _Run(given)
    return run
