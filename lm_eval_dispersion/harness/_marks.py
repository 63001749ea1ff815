"""Which documents were answered rightly, by lm_eval's own metric, and what they are alike in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from lm_eval_dispersion._errors import one_line
from lm_eval_dispersion.record import Marked, Recording, slices

logger = logging.getLogger(__name__)

# Fields of a document that say what it is about, as benchmarks call them; the first one that is there.
_SUBJECTS = ("subject", "category", "topic", "domain")
_LONGEST = 80


class Marks:
    """Those of one evaluation of a task. Nothing that goes wrong here is let out: it becomes the reason of a null."""

    def __init__(self) -> None:
        self._values: dict[int, dict[str, bool | None]] = {}
        self._strata: dict[str, dict[int, str]] = {}
        self._problem: str | None = None

    def note(self, task: Any, document: int, doc: Any, metrics: Mapping[str, Any]) -> None:
        """What ``process_results`` gave for a document; of several filters the first one counts."""
        if self._problem is not None or document in self._values:
            return
        try:
            self._values[document] = {name: _mark(value) for name, value in metrics.items()}
            for kind, label in (("subject", _subject(doc)), ("answer", _answer(task, doc))):
                if label is not None:
                    self._strata.setdefault(kind, {})[document] = label
        except Exception as error:
            logger.debug("the cause", exc_info=True)
            self._problem = one_line(error)

    def slices(self, task: Any, recording: Recording) -> dict[str, Any]:
        """For the record."""
        try:
            if self._problem is not None:
                raise ValueError(self._problem)
            return slices(recording, self._marked(task))
        except ValueError as reason:
            return {"undefined": str(reason)}
        except Exception as error:
            logger.debug("the cause", exc_info=True)
            return {"undefined": one_line(error)}

    def _marked(self, task: Any) -> Marked:
        better = task.higher_is_better() or {}
        every = list(self._values.values())
        for name in every[0] if every else ():
            if better.get(name, True) and all(marks.get(name) is not None for marks in every):
                right = {document: bool(marks[name]) for document, marks in self._values.items()}
                return Marked(name, next(iter(task.instances[0].filtered_resps)), right, self._strata)
        raise ValueError("no metric of the task is 0 or 1 for each document, so none is right or wrong")


def _mark(value: Any) -> bool | None:
    """Right, wrong, or neither."""
    return bool(value) if isinstance(value, (bool, int, float, np.generic)) and value in (0, 1) else None


def _subject(doc: Any) -> str | None:
    found = next((doc[name] for name in _SUBJECTS if name in doc), None) if isinstance(doc, Mapping) else None
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST else None


def _answer(task: Any, doc: Any) -> str | None:
    """The letter of the right choice, where there is one."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return None
    try:
        target = task.doc_to_target(doc)
        place = task.doc_to_choice(doc).index(target) if isinstance(target, str) else int(target)
    except Exception:  # several right ones, a text that is no choice, a task of another kind
        return None
    return chr(ord("A") + place) if 0 <= place < 26 else None
