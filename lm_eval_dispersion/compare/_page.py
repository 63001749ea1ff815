"""Comparisons as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lm_eval_dispersion.compare._comparison import Comparison, Pair
from lm_eval_dispersion.compare._sentences import (
    method,
    more_documents,
    place,
    probability,
    shown,
    verdict,
    warnings,
)
from lm_eval_dispersion.pages import render

# What a drawing has room for.
_LABEL = 30


@dataclass(frozen=True)
class Row:
    """A dot with its interval."""

    label: str
    value: float
    low: float | None
    high: float | None
    shown: str

    @classmethod
    def of(cls, label: str, value: float, interval: tuple[float, float] | None, stderr: float | None, sign: str) -> Row:
        """Of a number."""
        low, high = interval or (None, None)
        return cls(_short(label), value, low, high, shown(value, stderr, sign))

    @property
    def ends(self) -> list[float]:
        """All places on the axis."""
        return [x for x in (self.low, self.value, self.high) if x is not None]


def page(found: Sequence[Comparison]) -> str:
    """Of every text its verdict, what is drawn, and the tables."""
    return render("compare.html.j2", texts=[_text(one) for one in found])


def _text(found: Comparison) -> dict[str, Any]:
    bits = [
        Row.of(model.label, model.bits.value, model.interval, model.bits.stderr, "")
        for model in found.models
        if model.bits.value is not None
    ]
    return {
        "found": found,
        "verdict": verdict(found),
        "warnings": warnings(found),
        "method": method(found),
        "models": [
            {
                "place": place(model),
                "label": model.label,
                "bits": shown(model.bits.value, model.bits.stderr),
                "within": shown(model.entry.measured.within.value, model.entry.measured.within.stderr),
                "across": shown(model.entry.measured.across.value, model.entry.measured.across.stderr),
            }
            for model in found.models
        ],
        "bits": _drawn(bits),
        "parts": [_part(first, pairs) for first, pairs in found.shown()],
    }


def _part(first: str | None, pairs: Sequence[Pair]) -> dict[str, Any]:
    bits = [
        Row.of(pair.second, pair.bits.value, pair.bits.interval, pair.bits.stderr, "+") for pair in pairs if pair.bits
    ]
    dispersion = [
        Row.of(pair.second, pair.dispersion.value, pair.dispersion.interval, pair.dispersion.stderr, "+")
        for pair in pairs
        if pair.dispersion
    ]
    return {
        "first": first,
        "bits": _drawn(bits, zero=True),
        "dispersion": _drawn(dispersion, zero=True),
        "rows": [_cells(pair) for pair in pairs],
    }


def _cells(pair: Pair) -> dict[str, str]:
    bits, d = pair.bits, pair.dispersion
    return {
        "first": pair.first,
        "second": pair.second,
        "bits": shown(bits.value, bits.stderr, "+") if bits else "no document in common",
        "p": probability(bits.p if bits else None),
        "documents": f"{bits.documents:,}" if bits else "0",
        "more": (more_documents(bits) if bits else "") or "–",
        "dispersion": shown(d.value, d.stderr, "+") if d else pair.why or "–",
    }


def _drawn(rows: Sequence[Row], zero: bool = False) -> dict[str, Any] | None:
    if not rows:
        return None
    ends = [*chain.from_iterable(row.ends for row in rows), *([0.0] if zero else [])]
    room = 0.04 * (max(ends) - min(ends) or 1)
    return {"rows": rows, "low": min(ends) - room, "high": max(ends) + room, "reference": 0.0 if zero else None}


def _short(label: str) -> str:
    """Names of checkpoints differ at their ends."""
    half = _LABEL // 2
    return label if len(label) <= _LABEL else f"{label[: half - 1]}…{label[-half:]}"
