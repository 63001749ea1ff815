"""Documents that no model has seen, with the signals and answers a test plants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lm_eval_dispersion.rank import Documents, Signal


def made(
    correct: Any = None,
    *,
    texts: Sequence[str] | None = None,
    fields: Sequence[dict[str, Any]] | None = None,
    tasks: Sequence[str] | None = None,
    **signals: Any,
) -> Documents:
    """Documents with the given signals by name (``dispersion_at_3`` for ``dispersion@3``)."""
    n = len(next(iter(signals.values())))
    named = {name.replace("_at_", "@"): np.asarray(values, dtype=float) for name, values in signals.items()}
    return Documents(
        model="org/model",
        file=Path("results_2026-01-01T00-00-00.000000.json"),
        task="dispersion_made",
        filter="none",
        tasks=list(tasks or ["dispersion_made"] * n),
        ids=list(range(n)),
        fields=list(fields or [{}] * n),
        texts=list(texts or [f"Question {i}?" for i in range(n)]),
        signals={name: Signal(name, values) for name, values in named.items() if np.isfinite(values).any()},
        metric=None if correct is None else "acc",
        correct=None if correct is None else np.asarray(correct, dtype=bool),
        unlabelled="no metric of it is 0 or 1 for every document",
        no_dispersion="none is defined",
    )
