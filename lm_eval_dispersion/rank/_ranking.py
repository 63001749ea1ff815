"""One ranking: what the table, the files and the page all show."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lm_eval_dispersion.pages import render
from lm_eval_dispersion.rank._documents import Documents, Signal
from lm_eval_dispersion.rank._slices import Slices
from lm_eval_dispersion.rank._yardstick import Yardstick
from lm_eval_dispersion.runs import number, plain

_PAGE_ROWS = 500
_PIECE = 120
# Controls that lay out, or turn around, the text after them; a page shows their numbers instead.
_TURNING = {ord(c): f"[U+{ord(c):04X}]" for c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@dataclass(frozen=True)
class Ranking:
    """Documents by one signal."""

    documents: Documents
    by: Signal
    yardstick: Yardstick | None
    why: str
    """Why there is no yardstick."""
    slices: Slices | None = None

    @cached_property
    def order(self) -> list[int]:
        """Places of the documents, the hardest first; those without the signal are left out."""
        hardness = self.by.hardness
        defined = np.flatnonzero(np.isfinite(hardness))
        return [int(i) for i in defined[np.argsort(-hardness[defined], kind="stable")]]

    @property
    def head(self) -> str:
        """What is ranked, in one line."""
        d = self.documents
        left = len(d) - len(self.order)
        of = f"{len(d):,} document{'s' if len(d) != 1 else ''} of {d.task}"
        return f"{of} by {self.by.name}, {self.by.hard} is hard" + (f"; {left:,} without it left out" if left else "")

    def rows(self, places: list[int] | None = None) -> Iterator[dict[str, Any]]:
        """Documents in order, with all their signals by name; null where one is not defined."""
        d = self.documents
        for rank, i in enumerate(self.order if places is None else places, start=1):
            yield {
                "rank": rank,
                "task": d.tasks[i],
                "doc_id": d.ids[i],
                "correct": None if d.correct is None else bool(d.correct[i]),
                "signals": {name: number(signal.values[i]) for name, signal in d.signals.items()},
                "text": d.texts[i],
            }

    def piece(self, place: int, longest: int = _PIECE) -> str:
        """The beginning of a text in one line, without what all of them begin with."""
        return plain(self._distinct[place], longest)

    @cached_property
    def _distinct(self) -> list[str]:
        return self.documents.distinct()


def value_in_words(signal: str, value: float) -> str:
    """A signal's value."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if signal == "length" else f"{value:.4f}"


def csv_of(ranking: Ranking) -> str:
    """All ranked documents, a column a signal."""
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["rank", "task", "doc_id", "correct", *ranking.documents.signals, "text"])
    for row in ranking.rows():
        correct = "" if row["correct"] is None else int(row["correct"])
        table.writerow([row["rank"], row["task"], row["doc_id"], correct, *row["signals"].values(), row["text"]])
    return out.getvalue()


def jsonl_of(ranking: Ranking) -> str:
    """All ranked documents, a line each."""
    return "".join(f"{json.dumps(row)}\n" for row in ranking.rows())


def json_of(ranking: Ranking, top: int) -> dict[str, Any]:
    """Everything, and the hardest ``top`` documents; null where a number is not defined."""
    d = ranking.documents
    found = {
        "model": d.model,
        "file": str(d.file),
        "task": d.task,
        "filter": d.filter,
        "metric": d.metric,
        "by": {"signal": ranking.by.name, "hard": ranking.by.hard},
        "documents": {"all": len(d), "ranked": len(ranking.order)},
        "hardest": list(ranking.rows(ranking.order[:top])),
        "slices": ranking.slices and asdict(ranking.slices) | {"sentence": ranking.slices.sentence()},
        "yardstick": ranking.yardstick and asdict(ranking.yardstick) | {"sentences": ranking.yardstick.sentences()},
        "no_yardstick": ranking.why or None,
    }
    return dict(_without_nan(found))


def page_of(ranking: Ranking, top: int) -> str:
    """One HTML page with the texts of the hardest documents, 500 of them or ``top``, whichever is more."""
    d, shown = ranking.documents, ranking.order[: max(top, _PAGE_ROWS)]
    rows = [
        {
            "rank": rank,
            "value": value_in_words(ranking.by.name, ranking.by.values[i]),
            "answer": None if d.correct is None else "right" if d.correct[i] else "wrong",
            "piece": ranking.piece(i),
            "where": f"{plain(d.tasks[i])}, document {d.ids[i]}",
            "signals": [(name, value_in_words(name, d.signals[name].values[i])) for name in d.names],
            "text": _laid_bare(d.texts[i]),
        }
        for rank, i in enumerate(shown, start=1)
    ]
    return render(
        "rank.html.j2",
        model=plain(d.model),
        task=plain(d.task),
        file=plain(d.file),
        head=plain(ranking.head),
        by=ranking.by.name,
        rows=rows,
        ranked=len(ranking.order),
        metric=d.metric and plain(d.metric),
        yardstick=ranking.yardstick,
        dots=_dots(ranking.yardstick) if ranking.yardstick else None,
        why=ranking.why,
        slices=ranking.slices,
    )


def _dots(yardstick: Yardstick) -> dict[str, Any]:
    """For ``draw.dots``: AUROC of each signal, on an axis of whole tenths around one half."""
    drawn = [worth for worth in yardstick.worths if math.isfinite(worth.auroc.value)]
    rows = [
        {
            "label": f"{worth.name} (chosen)" if worth.layers else worth.name,
            "value": worth.auroc.value,
            "low": number(worth.auroc.low),
            "high": number(worth.auroc.high),
            "shown": str(worth.auroc),
        }
        for worth in drawn
    ]
    ends = [end for worth in drawn for end in (worth.auroc.value, worth.auroc.low, worth.auroc.high)]
    ends = [0.4, 0.6, *filter(math.isfinite, ends)]
    return {"rows": rows, "low": math.floor(min(ends) * 10) / 10, "high": math.ceil(max(ends) * 10) / 10}


def _laid_bare(text: str) -> str:
    return text.translate(_TURNING | _CONTROLS)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return number(value) if isinstance(value, float) else value
