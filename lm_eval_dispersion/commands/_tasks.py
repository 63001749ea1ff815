"""``tasks``: where our tasks are, for an lm_eval that does not find them by itself."""

from __future__ import annotations

from lm_eval_dispersion._discovery import tasks_folder


def tasks() -> int:
    """The folder of our tasks, for lm_eval's --include_path."""
    print(tasks_folder())
    return 0
