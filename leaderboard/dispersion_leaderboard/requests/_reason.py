"""Why a request was rejected or has failed."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """A code that anyone may read."""

    # Said when it is submitted, and again before a download.
    GATED = "gated"
    TOO_LARGE = "too_large"
    NOT_CAUSAL_LM = "not_causal_lm"
    UNSAFE_WEIGHTS = "unsafe_weights"
    REMOTE_CODE = "remote_code"
    NOT_FOUND = "not_found"
    # Said after a run.
    OOM = "oom"
    LOAD = "load"
    TIMEOUT = "timeout"
    NAN = "nan"
    CHAT_TEMPLATE = "chat_template"
    EVALUATION = "evaluation"
    INFRASTRUCTURE = "infrastructure"

    @property
    def retried(self) -> bool:
        """Whether another attempt may end otherwise: it was not the model's fault."""
        return self is Reason.INFRASTRUCTURE
