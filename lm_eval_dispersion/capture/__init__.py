"""Hidden states reduced where they are, one engine a file, behind the small protocol of ``_protocol``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lm_eval_dispersion.capture._protocol import (
    MIN_VECTORS,
    WINDOW,
    AttributionError,
    Capture,
    Reduced,
    Unsupported,
    Window,
)
from lm_eval_dispersion.capture._sums import Owner, Sums

if TYPE_CHECKING:
    from lm_eval.api.model import LM

__all__ = [
    "MIN_VECTORS",
    "WINDOW",
    "AttributionError",
    "Capture",
    "Owner",
    "Reduced",
    "Sums",
    "Unsupported",
    "Window",
    "capture_for",
]


def capture_for(lm: LM) -> Capture:
    """The capture of the engine behind an lm_eval model.

    Raises:
        Unsupported: where the model's hidden states are out of reach, with one line that says why.
    """
    from lm_eval.models.huggingface import HFLM

    if isinstance(lm, HFLM):
        from lm_eval_dispersion.capture._hf import HFCapture

        return HFCapture(lm)
    # Its module cannot be imported where vLLM is not installed; a model of its class has loaded it.
    engine = sys.modules.get("lm_eval.models.vllm_causallms")
    if engine is not None and isinstance(lm, engine.VLLM):
        from lm_eval_dispersion.capture._vllm import VLLMCapture

        return VLLMCapture(lm)
    raise Unsupported(
        f"{type(lm).__name__} gives no hidden states, which dispersion is measured on; "
        "run the same tasks with --model hf or --model vllm"
    )
