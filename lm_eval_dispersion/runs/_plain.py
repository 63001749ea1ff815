"""What a stranger's file may hold, made fit to show or to compute with."""

from __future__ import annotations

import math
import unicodedata

_LONGEST = 200


def plain(text: object, longest: int = _LONGEST) -> str:
    """One line that a terminal shows as it is: no escape codes, no line breaks, no changes of direction."""
    shown = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else " " for c in str(text))
    shown = " ".join(shown.split())
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
