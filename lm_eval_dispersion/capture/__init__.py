"""Hidden states reduced where they are, one engine a file, behind the small protocol of ``_protocol``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from lm_eval_dispersion.capture._listen import logger
from lm_eval_dispersion.capture._protocol import (
    AttributionError,
    Capture,
    Reduced,
    Unsupported,
    Window,
)
from lm_eval_dispersion.capture._sums import Owner, Sums

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

__all__ = [
    "AttributionError",
    "Capture",
    "Owner",
    "Reduced",
    "Sums",
    "Unsupported",
    "Window",
    "capture_for",
    "identity",
    "logger",
    "stock_rolling",
    "stock_window",
]


def capture_for(lm: LM) -> Capture:
    """The capture of the engine behind an lm_eval model.

    Raises:
        Unsupported: where the model's hidden states are out of reach, with one line that says why.
    """
    engine = _engine_of(lm)
    if engine == "hf":
        from lm_eval_dispersion.capture._hf import HFCapture

        return HFCapture(lm)
    if engine == "vllm":
        from lm_eval_dispersion.capture._vllm import VLLMCapture

        return VLLMCapture(lm)
    raise Unsupported(
        f"{type(lm).__name__} gives no hidden states, which dispersion is measured on; "
        "run the same tasks with --model hf or --model vllm"
    )


def _engine_of(lm: LM) -> Literal["hf", "vllm"] | None:
    from lm_eval.models.huggingface import HFLM

    from lm_eval_dispersion.seams.vllm_model import loaded_class

    if isinstance(lm, HFLM):
        return "hf"
    return "vllm" if isinstance(lm, loaded_class() or ()) else None


def identity(lm: LM, capture: Capture) -> dict[str, Any] | None:
    """What an answer depends on beside the request, in plain types; None where not all of it can be told."""
    from lm_eval.models.huggingface import HFLM

    from lm_eval_dispersion.capture._identity import settings
    from lm_eval_dispersion.seams.vllm_model import loaded_class

    if type(lm) not in (HFLM, loaded_class()):
        return None  # a subclass (steered, multimodal, somebody's own) has settings that nobody here knows
    weights = capture.fingerprint()
    return None if weights is None else settings(lm) | {"weights": weights}


def stock_window(lm: LM, window: int) -> int | None:
    """Tokens of the windows that ``stock_rolling`` scores where so many are asked for; None where they are its own."""
    engine = _engine_of(lm)
    return None if engine is None else min(window, lm.max_length - _taken_off(engine))


def stock_rolling(lm: LM, requests: Sequence[Instance], window: int) -> list[float]:
    """lm_eval's ``loglikelihood_rolling``, unlistened to, with the windows that would have been measured.

    Of a model of any other engine windows are its own.
    """
    from lm_eval_dispersion.seams.model_class import cut_at

    engine = _engine_of(lm)
    if engine is None:
        return list(lm.loglikelihood_rolling(requests))
    with cut_at(lm, min(window + _taken_off(engine), lm.max_length)):
        return list(lm.loglikelihood_rolling(requests))


def _taken_off(engine: Literal["hf", "vllm"]) -> int:
    """So many tokens a window is shorter than the limit that it is cut at."""
    if engine == "hf":
        return 0
    from lm_eval_dispersion.seams.vllm_model import OFF_THE_LIMIT

    return OFF_THE_LIMIT
