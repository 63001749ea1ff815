"""A comparison for programs, in plain JSON types: an undefined number is null."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lm_eval_dispersion.compare._comparison import Comparison, Difference, Model
from lm_eval_dispersion.compare._sentences import method, verdict, warnings
from lm_eval_dispersion.runs import Value


def as_json(found: Comparison) -> dict[str, Any]:
    """Everything, with the sentences; differences are the second model's value minus the first's."""
    return {
        "corpus": {"name": found.corpus, "hash": found.hash, "documents": found.documents},
        "measured": found.how,
        "verdict": verdict(found),
        "warnings": warnings(found),
        "method": method(found),
        "models": [_model(model) for model in found.models],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "bits_per_byte": _difference(pair.bits),
                "dispersion": _difference(pair.dispersion),
                "why_no_dispersion": pair.why,
            }
            for pair in found.pairs
        ],
    }


def _model(model: Model) -> dict[str, Any]:
    name, arguments = model.entry.model
    return {
        "label": model.label,
        "model": name,
        "arguments": dict(arguments),
        "results": str(model.entry.run.file),
        "samples": model.samples and str(model.samples),
        "task": model.entry.task,
        "place": model.place,
        "bits_per_byte": _value(model.bits) | {"interval": model.interval},
        "dispersion": _value(model.entry.measured.within),
        "dispersion_across": _value(model.entry.measured.across),
    }


def _value(found: Value) -> dict[str, Any]:
    missing = None in (found.value, found.stderr)
    return {"value": found.value, "stderr": found.stderr, "n": found.n, "why": found.why or None if missing else None}


def _difference(found: Difference | None) -> dict[str, Any] | None:
    return None if found is None else {**asdict(found), "told": found.told}
