"""The options of our tasks, all in one key: ``--metadata '{"dispersion": {...}}'``."""

from __future__ import annotations

from typing import Any

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.corpora import TEXT_OPTIONS


def checked_options(task: str, metadata: dict[str, Any]) -> None:
    """Refuses an option nobody reads.

    Raises:
        TaskError: names the option and those there are.
    """
    options = metadata.get("dispersion")
    if options is None:
        return
    if not isinstance(options, dict):
        raise TaskError(f'{task}: "dispersion" in --metadata must be an object, for example {{"text": "my/*.jsonl"}}')
    unknown = sorted(set(options) - set(TEXT_OPTIONS))
    if unknown:
        raise TaskError(f"{task}: unknown option {unknown[0]!r} in --metadata; there are {', '.join(TEXT_OPTIONS)}")
