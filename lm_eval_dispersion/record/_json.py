"""The record under ``configs[TASK]["metadata"]["dispersion"]``; ``record.schema.json`` is its schema."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from lm_eval_dispersion._definition import VERSION, Definition
from lm_eval_dispersion.record._summary import Floats, Summary, number


def record(
    summary: Summary,
    *,
    task: str,
    base_task: str | None,
    options: dict[str, Any],
    failed: dict[str, str],
    signals: dict[str, Any],
    plugin_version: str,
    slices: dict[str, Any] | None,
) -> dict[str, Any]:
    """All that was measured for a task and how, in plain JSON types; undefined numbers are null."""
    recording, prompts = summary.recording, summary.prompts
    within, correlation = summary.within, summary.correlation
    return {
        "definition": _definition(recording.definition, prompts),
        "undefined": recording.why_undefined(prompts),
        "failed_aggregations": failed,
        "plugin_version": plugin_version,
        "task": task,
        "base_task": base_task,
        "corpus": {
            "name": str(options.get("name") or base_task or task),
            "hash": f"{recording.text_hash:064x}",
            # Where the user's text lies is nobody's business; what was taken from it is.
            "selection": {key: options[key] for key in ("field", "max_documents", "seed") if key in options},
        },
        "engine": recording.described.get("engine"),
        "model": recording.described.get("model"),
        "counts": _counts(summary),
        "layers": recording.shown if recording.layers else [],
        "within": {"mean": _list(within.mean), "stderr": _list(within.stderr), "n": within.segments.tolist()},
        "across": _pairs(summary.across, recording.sums.across.count),
        "all_pairs": _pairs(summary.all_pairs, recording.sums.all_pairs.count),
        "correlation": correlation
        and {
            "pearson": _list(correlation.pearson),
            "pearson_stderr": _list(correlation.pearson_stderr),
            "spearman": _list(correlation.spearman),
            "spearman_stderr": _list(correlation.spearman_stderr),
            "n": correlation.segments.tolist(),
        },
        "signals": signals,
        "slices": slices,
    }


def _definition(found: Definition | None, prompts: bool) -> dict[str, Any]:
    return {
        "version": VERSION,
        "kind": "prompts" if prompts else "corpus",
        "headline": "within, last hidden state",
        "positions": "the prompt's" if prompts else "those whose next token is scored",
        "window": None if prompts or found is None else found.window,
        "min_vectors": 2 if prompts else found and found.min_vectors,
        "layers": found and (found.layers if isinstance(found.layers, str) else list(found.layers)),
    }


def schema() -> dict[str, Any]:
    """The published JSON Schema of a record."""
    text = files("lm_eval_dispersion.record").joinpath("record.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _counts(summary: Summary) -> dict[str, int]:
    recording = summary.recording
    segments = recording.every_segment()
    measured = [s for s in segments if s.dispersion is not None]
    counts = {
        "documents": len(recording.documents),
        "segments": len(measured),
        "vectors": sum(s.vectors for s in measured),
        "zero_vectors": sum(s.zero for s in measured),
        "nonfinite_vectors": sum(s.nonfinite for s in measured),
        "cached_answers": recording.counts["cached_answers"],
    }
    if summary.prompts:
        return counts | {
            "truncated_prompts": sum(s.truncated for s in measured),
            "prompts_without_vectors": recording.counts["prompts"] - len(segments),
            "requests_without_context": recording.counts["requests_without_context"],
        }
    return counts | {
        "short_windows": len(segments) - len(measured),
        "tokens": sum(s.tokens or 0 for s in segments),
    }


def _pairs(found: tuple[Floats, Floats] | None, count: Iterable[int]) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"dispersion": _list(found[0]), "stderr": _list(found[1]), "n": [int(c) for c in count]}


def _list(values: Floats) -> list[float | None]:
    return [number(v) for v in values]
