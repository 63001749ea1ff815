"""The documents of one task of one run, with their signals and whether their answers are right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.rank._choice import Choice, choose
from lm_eval_dispersion.rank._signals import HARD, signals_of
from lm_eval_dispersion.runs import complain, plain, read_samples

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# What is in every prompt before this many characters (few-shot examples, an instruction) is left out of what is shown.
_SHARED = 40


@dataclass(frozen=True)
class Signal:
    """One signal of all documents."""

    name: str
    values: Floats
    """[documents]; NaN where it is not defined."""

    @property
    def base(self) -> str:
        """The name without its layer."""
        return self.name.partition("@")[0]

    @property
    def hard(self) -> Literal["low", "high"]:
        """On which side the hard documents lie."""
        return HARD[self.base]

    @property
    def hardness(self) -> Floats:
        """[documents], higher for a harder one."""
        return -self.values if self.hard == "low" else self.values


@dataclass(frozen=True)
class Documents:
    """All lists and arrays have one item a document."""

    model: str
    file: Path
    """The results file."""
    task: str
    """Or the group's name."""
    filter: str
    tasks: list[str]
    ids: list[int]
    """lm_eval's ``doc_id``."""
    fields: list[dict[str, Any]]
    """The rows of the dataset."""
    texts: list[str]
    """The prompt as it was fed, or the document of a corpus."""
    signals: dict[str, Signal]
    """By name, those with a value for some document; ``NAME@l`` where there are several layers."""
    metric: str | None
    """lm_eval's metric that says whether an answer is right; None without one."""
    correct: Bools | None
    unlabelled: str
    """Why there are no labels."""
    no_dispersion: str
    """Why there is no D, where there is none."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> list[str]:
        """Of the signals, those by layer left out: at the last layer alone."""
        return [name for name in HARD if name in self.signals]

    def signal(self, name: str) -> Signal:
        """One that a person asks for.

        Raises:
            TaskError: where there is none of that name, with the names there are.
        """
        if name in self.signals:
            return self.signals[name]
        layers = [s.name for s in self.signals.values() if s.name != s.base]
        known = ", ".join([*self.names, *([f"{layers[0]} to {layers[-1]}"] if layers else [])]) or "none"
        if name.partition("@")[0] == "dispersion" and "dispersion" not in self.signals:
            raise TaskError(f"{self.task}: no document has a D ({self.no_dispersion}); rank by another signal: {known}")
        raise TaskError(f"--by {plain(name)}: {self.task} has no such signal; it has {known}")

    def distinct(self) -> list[str]:
        """The texts without what all of them begin with."""
        return [text[self._shared :] for text in self.texts]

    @cached_property
    def _shared(self) -> int:
        # What the first and the last in alphabetical order have in common, all have.
        first, last = min(self.texts), max(self.texts)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
        return first.rfind(" ", 0, same) + 1 if _SHARED < same < len(last) else 0


def read_documents(path: Path, task: str | None = None, filter_name: str | None = None) -> Documents:
    """The documents of the newest run at a path; says on standard error what it chose among several.

    Args:
        path: a results file, or a folder with some.
        task: a task or a group of the run; None for its first task with a record.
        filter_name: of a task with several filters; None for its first.

    Raises:
        TaskError: where there is nothing to rank, in one line.
    """
    chosen = choose(path, task)
    rows, filter_name = _rows(chosen, filter_name)
    samples = [sample for _, sample in rows]
    metric, correct = _correct(chosen, filter_name, samples)
    signals, records = _signals(chosen, rows), [chosen.run.record(name) for name in chosen.tasks]
    corpus = any(isinstance(r, dict) and _kind(r) == "corpus" for r in records)
    return Documents(
        model=chosen.run.model,
        file=chosen.run.file,
        task=chosen.name,
        filter=filter_name,
        tasks=[name for name, _ in rows],
        ids=[found if isinstance(found := sample.get("doc_id"), int) else i for i, sample in enumerate(samples)],
        fields=[doc if isinstance(doc := sample.get("doc"), dict) else {} for sample in samples],
        texts=list(map(_text, samples)),
        signals=signals,
        metric=metric,
        correct=correct,
        unlabelled="a corpus has none" if corpus else "no metric of it is 0 or 1 for every document",
        no_dispersion=_no_dispersion(records, chosen),
    )


def _rows(chosen: Choice, filter_name: str | None) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """(task, sample) of each document under one filter."""
    by_filter: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for task, file in zip(chosen.tasks, chosen.samples, strict=True):
        for sample in read_samples(file):
            by_filter.setdefault(str(sample.get("filter", "none")), []).append((task, sample))
    if not by_filter:
        raise TaskError(f"{chosen.samples[0]} holds no sample")
    known = ", ".join(map(plain, by_filter))
    if filter_name is None:
        filter_name = next(iter(by_filter))
        if len(by_filter) > 1:
            complain(f"{chosen.name} has several filters ({known}); answers are right or wrong by {filter_name}")
    if filter_name not in by_filter:
        raise TaskError(f"{chosen.name} has no filter {plain(filter_name)}; it has {known}")
    return by_filter[filter_name], filter_name


def _signals(chosen: Choice, rows: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Signal]:
    records = {task: chosen.run.record(task) for task in chosen.tasks}
    delimiters = {task: chosen.delimiter(task) for task in chosen.tasks}
    found = [signals_of(sample, records[task], delimiters[task]) for task, sample in rows]
    names = dict.fromkeys(name for one in found for name in one)
    values = {name: np.array([one.get(name, np.nan) for one in found]) for name in names}
    return {name: Signal(name, column) for name, column in values.items() if np.isfinite(column).any()}


def _correct(chosen: Choice, filter_name: str, samples: Sequence[dict[str, Any]]) -> tuple[str | None, Bools | None]:
    """The first metric, in lm_eval's order, that says right (1) or wrong (0) of every document."""
    for metric in _metrics(chosen, filter_name):
        values = [sample.get(metric) for sample in samples]
        if all(isinstance(value, bool | int | float) and value in (0, 1) for value in values):
            return metric, np.array(values, dtype=bool)
    return None, None


def _metrics(chosen: Choice, filter_name: str) -> Iterator[str]:
    """Those of lm_eval of which more is better."""
    task = chosen.tasks[0]
    results, better = chosen.run.content["results"].get(task), chosen.run.content.get("higher_is_better")
    better = better.get(task) if isinstance(better, dict) else None
    for key in results if isinstance(results, dict) else ():
        name, comma, filtered = key.partition(",")
        ours = name.startswith("dispersion") or name.endswith("_stderr")
        if comma and filtered == filter_name and not ours and (better or {}).get(name) is not False:
            yield name


def _text(sample: dict[str, Any]) -> str:
    """The first prompt that is not empty."""
    arguments = sample.get("arguments")
    requests = list(arguments.values()) if isinstance(arguments, dict) else []
    contexts = [request.get("arg_0") for request in requests if isinstance(request, dict)]
    return str(next(filter(None, contexts), ""))


def _kind(record: dict[str, Any]) -> str:
    definition = record.get("definition")
    return str(definition.get("kind")) if isinstance(definition, dict) else ""


def _no_dispersion(records: Sequence[Any], chosen: Choice) -> str:
    recorded = [record for record in records if isinstance(record, dict)]
    if not recorded:
        return f"none was recorded; run dispersion_{chosen.name}"
    why = {json.dumps(record.get("undefined")) for record in recorded} - {"null"}
    return plain(json.loads(min(why))) if why else "none is defined"
