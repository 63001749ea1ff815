"""The signals of one document, read off its logged sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lm_eval_dispersion._confidence import confidence
from lm_eval_dispersion.runs import number

# Fixed before any label is seen, never fitted: a signal that says something the other way round shows an AUROC below
# one half. That hard text has low D, and so vectors of low rank and a long mean unit vector, is the paper's claim; that
# long prompts are harder is a guess; the rest is what the words say.
HARD: dict[str, Literal["low", "high"]] = {
    "dispersion": "low",
    "length": "high",
    "confidence": "low",
    "confidence_by_length": "low",
    "margin": "low",
    "entropy": "high",
    "prompt_loglikelihood": "low",
    "bits_per_byte": "high",
    "effective_rank": "low",
    "rankme": "low",
    "spectral_entropy": "low",
    "participation_ratio": "low",
    "mean_unit_norm": "high",
    "top_channel_share": "high",
    "dispersion_without_first": "low",
}
"""On which side of each signal the hard documents lie. ``NAME@l`` is a signal at hidden state h[l]."""


def signals_of(sample: Mapping[str, Any], record: Any, delimiter: str = " ") -> dict[str, float]:
    """The signals of a sample by name; NaN where one is not defined, absent where there is no such signal.

    Args:
        sample: a line of ``samples_*.jsonl``.
        record: of its task; None where nothing was recorded.
        delimiter: the task's ``target_delimiter``, which stands before each choice.
    """
    measured, record = _object(sample.get("dispersion")), _object(record)
    found: dict[str, Any] = _of_choices(sample, delimiter)
    if measured:
        # A prompt of no vectors has no length that could be compared with others'.
        found |= {"dispersion": measured.get("within"), "length": measured.get("tokens") or None}
        found |= _by_layer("dispersion", measured.get("layers"), record.get("layers"))
    bits = sample.get("bits_per_byte")
    if isinstance(bits, list) and len(bits) == 2:
        found["bits_per_byte"] = _bits_per_byte(number(bits[0]), number(bits[1]))
    recorded = _object(record.get("signals"))
    for name, value in _object(measured.get("signals")).items():
        if name not in HARD:
            continue
        if isinstance(value, list):
            found[name] = value[-1] if value else None
            found |= _by_layer(name, value, _object(recorded.get(name)).get("layers"))
        else:
            found[name] = value
    return {name: math.nan if (shown := number(value)) is None else shown for name, value in found.items()}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _by_layer(name: str, values: Any, layers: Any) -> dict[str, Any]:
    """``NAME@l`` for each of several layers."""
    if not isinstance(values, list) or len(values) < 2:
        return {}
    known = isinstance(layers, list) and len(layers) == len(values)
    shown = layers if known else range(len(values))
    return {f"{name}@{layer}": value for layer, value in zip(shown, values, strict=True)}


def _bits_per_byte(loglikelihood: float | None, length: float | None) -> float | None:
    return None if loglikelihood is None or not length else -loglikelihood / (length * math.log(2))


def _of_choices(sample: Mapping[str, Any], delimiter: str) -> dict[str, Any]:
    """What the log-likelihoods of a document's choices say, for samples older than the signals of the record.

    By length is a choice's log-likelihood divided by its characters, without the delimiter, as lm_eval's ``acc_norm``.
    """
    recorded = _object(_object(sample.get("dispersion")).get("signals"))
    scored = _scored(sample.get("filtered_resps"))
    requests = [_object(request) for request in _object(sample.get("arguments")).values()]
    if "confidence" in recorded or len(scored) < 2 or len(scored) != len(requests):
        return {}
    # For `acc_mutual_info` lm_eval asks for every choice once more, without its context.
    asked = [i for i, request in enumerate(requests) if request.get("arg_0")] or list(range(len(requests)))
    if len(asked) < 2:
        return {}
    loglikelihoods = [scored[i] for i in asked]
    found: dict[str, Any] = dict(confidence(loglikelihoods))
    if len({str(requests[i].get("arg_0")) for i in asked}) == 1:
        choices = [str(requests[i].get("arg_1", "")).removeprefix(delimiter) for i in asked]
        if all(choices):
            by_length = [value / len(choice) for value, choice in zip(loglikelihoods, choices, strict=True)]
            found |= {"confidence_by_length": confidence(by_length)["confidence"]}
    return found


def _scored(answers: Any) -> Sequence[float]:
    """The log-likelihoods of answers that are pairs (log-likelihood, whether greedy); none where they are not."""
    if not isinstance(answers, list) or not all(isinstance(a, list) and len(a) == 2 for a in answers):
        return []
    try:  # lm_eval writes them as text
        return [float(loglikelihood) for loglikelihood, greedy in answers if str(greedy) in ("True", "False")]
    except (TypeError, ValueError):
        return []
