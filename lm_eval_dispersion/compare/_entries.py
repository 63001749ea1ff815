"""The corpus tasks of some runs, by corpus: of each model its newest run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.compare._names import Identity, identity
from lm_eval_dispersion.runs import Measured, Run, Value, complain, measured, number, plain


@dataclass(frozen=True)
class Entry:
    """One model on one corpus."""

    run: Run
    task: str
    record: dict[str, Any]
    measured: Measured
    model: Identity

    @property
    def corpus(self) -> str:
        """As the run named its text."""
        return plain(self.record["corpus"]["name"])

    @property
    def hash(self) -> str:
        """Of the text."""
        return plain(self.record["corpus"]["hash"])

    @property
    def bits_per_byte(self) -> Value:
        """lm_eval's, which has no standard error."""
        results = self.run.content["results"].get(self.task)
        documents = self.measured.counts["documents"]
        if not isinstance(results, dict) or "bits_per_byte,none" not in results:
            return Value(None, None, documents, "its task has no bits_per_byte")
        value = number(results["bits_per_byte,none"])
        return Value(value, None, documents, "" if value is not None else "not a finite number")

    @property
    def newness(self) -> tuple[float, str]:
        """Grows with the date."""
        return number(self.run.content.get("date")) or 0.0, self.run.file.name


def by_corpus(runs: Sequence[Run], task: str | None = None) -> list[list[Entry]]:
    """Of each corpus, told by its name or the hash of its text, the newest run of each model; says what it leaves out.

    Args:
        runs: of any tasks.
        task: only this task, or the corpus of this name.

    Raises:
        TaskError: where there is no corpus task, or none of that name.
    """
    found = [entry for run in runs for entry in _corpora(run)]
    if not found:
        raise TaskError(
            f"no corpus task with a record in {_runs(len(runs))}; compare takes text, as dispersion_text measures it "
            "(labelled tasks have no bits per byte)"
        )
    chosen = [entry for entry in found if task in (None, entry.task, entry.corpus)]
    if not chosen:
        there = ", ".join(sorted({entry.corpus for entry in found}))
        raise TaskError(f"no corpus task {task} in {_runs(len(runs))}; there are {there}")
    return [_newest(group) for group in _groups(chosen)]


def _runs(count: int) -> str:
    return "the run" if count == 1 else f"{count} runs"


def _corpora(run: Run) -> Iterator[Entry]:
    for task in run.content["configs"]:
        record = run.record(task)
        if record is None:
            continue
        try:
            read = measured(record)
        except ValueError as error:
            complain(f"{run.file}: the record of {task} cannot be read ({error})")
        else:
            if record["definition"]["kind"] == "corpus":
                yield Entry(run, task, record, read, identity(run))


def _groups(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Those that share a name or a text, in the order in which they come."""
    groups: list[list[Entry]] = []
    for entry in entries:
        same = [g for g in groups if any(o.corpus == entry.corpus or o.hash == entry.hash for o in g)]
        joined = [*(other for group in same for other in group), entry]
        at = groups.index(same[0]) if same else len(groups)
        groups = [group for group in groups if group not in same]
        groups.insert(at, joined)
    return groups


def _newest(entries: list[Entry]) -> list[Entry]:
    of_model: dict[Identity, list[Entry]] = {}
    for entry in entries:
        of_model.setdefault(entry.model, []).append(entry)
    kept = []
    for same in of_model.values():
        newest = max(same, key=lambda entry: entry.newness)
        if len(same) > 1:
            complain(f"{newest.corpus}: {len(same)} runs of {newest.model[0]}; the newest is taken, {newest.run.file}")
        kept.append(newest)
    return kept
