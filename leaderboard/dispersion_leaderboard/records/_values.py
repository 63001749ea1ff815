"""Values of a results file, which may be anything: what is not of the wanted kind is taken as not given."""

from __future__ import annotations

import math
from typing import Any


def mapping(value: object) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def is_number(value: object) -> bool:
    """Whether it is a finite number that a column can hold; no truth value is one."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    return float(value) if is_number(value) else None  # type: ignore[arg-type]


def integer(value: object) -> int | None:
    """A count; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
