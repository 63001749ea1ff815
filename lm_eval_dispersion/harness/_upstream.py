"""What lm_eval is given once one of our tasks is loaded. Plain lm_eval never gets here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval_dispersion.harness._evaluation import looking
from lm_eval_dispersion.harness._metric import standard_error
from lm_eval_dispersion.harness._requests import KINDS, PREFIX, request_method
from lm_eval_dispersion.seams import evaluator, groups, model_class, standard_errors


def attach(is_ours: Callable[[Any], bool]) -> None:
    """Adds our request types to every model class, a look to ``evaluate``, and standard errors to our metrics.

    Args:
        is_ours: whether a task records.
    """
    evaluator.around(looking(is_ours))
    for kind in KINDS:
        model_class.add_request_type(PREFIX + kind, request_method(kind))
    standard_errors.attach(standard_error)
    groups.skip_undefined()
