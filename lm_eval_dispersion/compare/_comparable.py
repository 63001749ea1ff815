"""What must be the same before two runs are set side by side, and what before two values of D are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lm_eval_dispersion.compare._entries import Entry
from lm_eval_dispersion.runs import plain


def differences(entries: Sequence[Entry], labels: Sequence[str]) -> list[str]:
    """A line for each thing in which a run differs from the one that most others agree with; none: they may be ranked.

    The same are the definition, the window that was used included, and the text (docs/results.md).
    """
    lines, known = [], []
    for entry, label in zip(entries, labels, strict=True):
        how = how_measured(entry)
        if how is None:
            why = plain(entry.record.get("undefined") or "nothing was measured")
            lines.append(f"{entry.corpus}: {label} has no window on record ({why}): {entry.run.file}")
        else:
            known.append((entry, label, how))
    if known:
        usual = Counter(how for _, _, how in known).most_common(1)[0][0]
        first = next(one for one in known if one[2] == usual)
        lines += [
            f"{entry.corpus}: {first[1]} has {one}, {label} has {other}: {first[0].run.file}, {entry.run.file}"
            for entry, label, how in known
            for one, other in zip(usual, how, strict=True)
            if one != other
        ]
    return lines


def how_measured(entry: Entry) -> tuple[str, ...] | None:
    """Version, window, least vectors and text in words, equal where runs may be compared; None without a window."""
    definition, n = entry.record["definition"], entry.measured.counts["documents"]
    # Earlier records say the window beside their definition.
    window = definition.get("window", entry.record.get("window"))
    if window is None:
        return None
    return (
        f"version {plain(definition['version'])} of the definition",
        f"windows of {plain(window)} tokens",
        f"D of windows of at least {plain(definition['min_vectors'])} vectors",
        f"the text {entry.hash[:12]} of {n:,} document{'' if n == 1 else 's'}",
    )


def why_no_dispersion(one: Entry, other: Entry) -> str | None:
    """Why the D of two models cannot be compared; None where it can: D depends on tokenizer, architecture and width."""
    a, b = _model(one), _model(other)
    for key, words in (("tokenizer_hash", "tokenizers"), ("model_type", "architectures")):
        if a.get(key) is None or b.get(key) is None:
            return f"{words} not on record"
        if a[key] != b[key]:
            return f"other {words}"
    sizes = [(m.get("layers"), m.get("hidden_size")) for m in (a, b)]
    return "other sizes" if sizes[0] != sizes[1] else None


def _model(entry: Entry) -> dict[str, Any]:
    model = entry.record.get("model")
    return model if isinstance(model, dict) else {}
