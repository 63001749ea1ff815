"""Our request types: lm_eval's own, with D of what passes by.

``dispersion_loglikelihood`` and the others are attached to ``lm_eval.api.model.LM``, so lm_eval's evaluator
calls them by the name a task's instances carry. Each calls lm_eval's own method once for the pooled requests
of all tasks of one definition, returns what it returns, and leaves the measurements with the tasks. Where measuring
fails, the requests are sent once more without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion._errors import TaskError, one_line
from lm_eval_dispersion.capture import AttributionError, Unsupported, logger, stock_rolling, stock_window
from lm_eval_dispersion.harness._cache import Answers
from lm_eval_dispersion.harness._evaluation import Look, look_at
from lm_eval_dispersion.harness._measuring import Measured, Recordings, first_occurrences, measured
from lm_eval_dispersion.record import Recording

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

PREFIX = "dispersion_"
KINDS = ("loglikelihood", "loglikelihood_rolling", "generate_until")


def request_method(kind: str) -> Callable[[LM, list[Instance]], list[Any]]:
    """The method ``LM.dispersion_<kind>``."""

    def method(lm: LM, requests: list[Instance]) -> list[Any]:
        look = look_at(lm)
        answers: dict[int, Any] = {}
        recordings: Recordings = {}
        for definition, places in _by_definition(requests).items():
            some = [requests[place] for place in places]
            found, theirs = _run(look, kind, some, definition)
            answers |= zip(places, found, strict=True)
            recordings |= theirs
        _deliver(lm, requests, recordings)
        return [answers[place] for place in range(len(requests))]

    method.__name__ = PREFIX + kind
    method.__doc__ = f"lm_eval's ``{kind}``, with dispersion recorded for the tasks the requests come from."
    return method


def _by_definition(requests: Sequence[Instance]) -> dict[Definition, list[int]]:
    """The places of requests that share a call: of one run's tasks, as good as always all."""
    found: dict[Definition, list[int]] = {}
    for place, request in enumerate(requests):
        found.setdefault(request.dispersion_task.definition, []).append(place)
    return found


def _run(look: Look, kind: str, requests: list[Instance], definition: Definition) -> Measured:
    """The answers, and what was measured or why nothing was."""
    reason = look.reason
    if look.capture is not None:
        try:
            found = measured(look, kind, requests, definition)
            look.alone = False
            return found
        except Unsupported as error:
            if look.alone:  # its first pass has shown it
                raise TaskError(str(error)) from None
            reason = str(error)
        except AttributionError as error:
            reason = str(error)
        except Exception as error:
            # A model's own failure comes again below, and then it is not ours to hide.
            reason = one_line(error)
        logger.warning("dispersion is not measured, the requests are sent without it (%s)", reason)
        logger.debug("the cause", exc_info=True)
    return _unmeasured(look, kind, requests, definition, reason or "unknown")


def _unmeasured(look: Look, kind: str, requests: list[Instance], definition: Definition, reason: str) -> Measured:
    answers = Answers(look, kind, definition, measuring=False)
    todo = answers.missing(requests)
    run = stock_rolling if kind == "loglikelihood_rolling" else lambda lm, some, _: getattr(lm, kind)(some)
    with answers.without_stock_cache():
        fresh = run(look.lm, [requests[i] for i in todo], definition.window) if todo else []
    for index, answer in zip(todo, fresh, strict=True):
        answers.store(index, requests[index], answer, None)
    look.alone = False
    recordings: Recordings = {}
    window = stock_window(look.lm, definition.window)
    cut = None if window is None else definition.cut_at(window)
    for request in (requests[index] for index in first_occurrences(requests)):
        new = Recording(undefined=reason, described=look.described, definition=cut)
        recording = recordings.setdefault(request.task_name, new)
        recording.documents.add(request.doc_id)
        if kind == "loglikelihood_rolling":
            recording.add_text(request.args[0])
    return answers.all(), recordings


def _deliver(lm: LM, requests: list[Instance], recordings: Recordings) -> None:
    """Hands each task its recording: its own documents on every process, all processes' on the first.

    One task after another, since what is gathered passes through the accelerator.
    """
    tasks = {request.task_name: request.dispersion_task for request in requests}
    for name, task in tasks.items():
        everyone = lm.gather_object(recordings[name], dst=0)
        for theirs in [recordings[name]] if everyone is None else everyone:
            task.receive(theirs)
