"""How sure a model is of its answer to a question with choices, from the log-likelihoods that lm_eval has of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from lm_eval_dispersion._confidence import confidence
from lm_eval_dispersion.record import ANSWER_SIGNALS, number
from lm_eval_dispersion.seams import task_class

logger = logging.getLogger(__name__)


def answer_signals(task: Any, doc: Any, results: Any) -> dict[str, float | None]:
    """The signals of one document of a multiple-choice task; null where they are not defined.

    Args:
        task: lm_eval's.
        doc: its document.
        results: what lm_eval hands to ``process_results``: (log-likelihood, is greedy) of each choice. Those of the
            choices without a context follow where the task has ``acc_mutual_info``.
    """
    try:
        choices = task.doc_to_choice(doc)
        loglikelihoods = [float(loglikelihood) for loglikelihood, _ in results]
        if len(loglikelihoods) == 2 * len(choices) and task_class.asks_for("acc_mutual_info", task):
            loglikelihoods = loglikelihoods[: len(choices)]
        if len(loglikelihoods) != len(choices):
            raise ValueError(f"{len(loglikelihoods)} log-likelihoods of {len(choices)} choices")
        return _signals(loglikelihoods, list(map(len, choices)))
    except Exception:  # a task's own code and filters, which may do anything
        logger.debug("no signals of an answer", exc_info=True)
        return dict.fromkeys(ANSWER_SIGNALS)


def _signals(loglikelihoods: Sequence[float], lengths: Sequence[int]) -> dict[str, float | None]:
    """Of ``ANSWER_SIGNALS``. Lengths are in characters, as those of lm_eval's ``acc_norm``, whose answer it is then."""
    with np.errstate(divide="ignore", invalid="ignore"):
        by_length = np.array(loglikelihoods) / np.array(lengths, dtype=np.float64)
    found = confidence(loglikelihoods) | {"confidence_by_length": confidence(by_length.tolist())["confidence"]}
    return {name: number(found[name]) for name in ANSWER_SIGNALS}
