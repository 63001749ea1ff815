"""One evaluation: the look at its model before the first request, and what is said of it after the last.

D is measured beside an evaluation and must never end one. What cannot be measured is null in the record, with the
reason, and every stock number is there all the same. Only where nothing but D was asked for, and the model is known to
have none before a request is sent, or by its first pass, is there nothing to run for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._errors import TaskError, one_line
from lm_eval_dispersion.capture import Capture, Unsupported, capture_for, identity, logger

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(eq=False)
class Look:
    """What is known of a model before its first request."""

    lm: LM
    capture: Capture | None
    reason: str | None = None
    """Why there is no capture."""
    described: dict[str, Any] = field(default_factory=dict)
    """The capture's ``describe()``, or what of it could be had."""
    alone: bool = False
    """Whether nothing but D was asked for, and nothing has been computed yet."""

    @cached_property
    def identity(self) -> dict[str, Any] | None:
        """Of the model, for the keys of a cache: it reads weights. None where it cannot be told, which is said once."""
        found = None if self.capture is None else identity(self.lm, self.capture)
        if found is None:
            logger.warning(
                "%s says too little of itself for --use_cache: nothing is taken from it or kept in it "
                "for tasks that record dispersion",
                type(self.lm).__name__,
            )
        return found


# Of the evaluation under way.
_look: ContextVar[Look | None] = ContextVar("look", default=None)


def look_at(lm: LM) -> Look:
    """The look of the evaluation under way, or a new one where a model's method is called outside of any."""
    found = _look.get()
    if found is not None and found.lm is lm:
        return found
    try:
        capture = capture_for(lm)
    except Unsupported as error:
        return Look(lm, None, str(error))
    except Exception as error:  # of transformers, vLLM or a model's own code: not worth a run
        return Look(lm, None, f"the model's hidden states cannot be had ({one_line(error)})")
    try:
        return Look(lm, capture, described=capture.describe())
    except Exception as error:
        logger.warning("the records will not say what the model is (%s)", one_line(error))
        return Look(lm, capture)


def looking(is_ours: Callable[[Any], bool]) -> Callable[[LM, list[Any], Callable[[], Any]], Any]:
    """What an evaluation has before its first request and after its last (see ``seams.evaluator.around``).

    Args:
        is_ours: whether a task records.
    """

    def evaluate(lm: LM, tasks: list[Any], go_on: Callable[[], Any]) -> Any:
        ours = [task for task in tasks if is_ours(task)]
        if not ours:
            return go_on()
        look = look_at(lm)
        look.alone = len(ours) == len(tasks)
        if look.reason and look.alone:
            raise TaskError(look.reason)
        if look.capture is not None:
            for definition in {task.definition for task in ours}:
                # A layer that the model has not is refused now.
                look.capture.layers(definition)
                look.capture.signal_layers(definition)
        token = _look.set(look)
        try:
            results = go_on()
        finally:
            _look.reset(token)
        if look.lm.rank == 0:
            _say_what_is_missing(ours)
        return results

    return evaluate


def _say_what_is_missing(ours: list[Any]) -> None:
    missing: dict[str, list[str]] = {}
    for task in ours:
        if task.undefined:
            missing.setdefault(task.undefined, []).append(task.task_name)
    for reason, names in missing.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        logger.warning("%s%s: no dispersion: %s", ", ".join(names[:3]), more, reason)
