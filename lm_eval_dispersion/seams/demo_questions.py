"""MMLU questions that lm_eval carries, for ``dispersion_demo_mmlu``."""

from __future__ import annotations

from pathlib import Path

import lm_eval

from lm_eval_dispersion.seams._look import Moved

FILE = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "flan_cot_fewshot" / "_cot_prompts.json"
"""Subject -> its prompt, in JSON."""


def _look() -> None:
    if not FILE.is_file():
        raise Moved(f"{FILE} is gone")
