"""What a record says without labels beside D, under ``metadata.dispersion.signals``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dispersion_leaderboard.records._values import integer, mapping, number

_PERCENTILES = 101
_LAST_DIGITS = 1e-9
_SHARES = ("confidence", "confidence_by_length", "margin")


@dataclass(frozen=True)
class KnownSignal:
    """A signal that is read by its name; others are left alone."""

    label: str
    kind: Literal["confidence", "likelihood", "geometry"]
    """Of a question's choices; of a prompt's tokens; of a text's hidden vectors."""
    what: str
    """In one line."""
    expected: str
    """How it goes with accuracy, where that is agreed on."""


SIGNALS = {
    "confidence": KnownSignal(
        "AC (mean confidence)",
        "confidence",
        "the largest probability among a question's choices (softmax of their log-likelihoods), mean over questions",
        "higher",
    ),
    "confidence_by_length": KnownSignal(
        "AC by length",
        "confidence",
        "the same with log-likelihood per character of the choice, as acc_norm scores",
        "higher",
    ),
    "margin": KnownSignal(
        "margin", "confidence", "the largest less the second largest of these probabilities", "higher"
    ),
    "entropy": KnownSignal("entropy of the choices", "confidence", "that of these probabilities, in nats", "lower"),
    "prompt_loglikelihood": KnownSignal(
        "log-likelihood", "likelihood", "mean log-likelihood of a token of the prompt, in nats", "higher"
    ),
    "effective_rank": KnownSignal(
        "effective rank", "geometry", "of a text's vectors (Roy and Vetterli 2007)", "not agreed on"
    ),
    "rankme": KnownSignal("RankMe", "geometry", "of a text's vectors (Garrido et al. 2023)", "not agreed on"),
    "spectral_entropy": KnownSignal(
        "entropy of the spectrum", "geometry", "of a text's vectors, in nats", "not agreed on"
    ),
    "participation_ratio": KnownSignal(
        "participation ratio", "geometry", "of the spectrum; IsoScore is (it − 1) / (width − 1)", "not agreed on"
    ),
    "mean_unit_norm": KnownSignal(
        "norm of the mean unit vector",
        "geometry",
        "0 where directions cancel, 1 where all are one",
        "lower, as D higher",
    ),
    "top_channel_share": KnownSignal(
        "share of the top channel", "geometry", "of the vectors' energy: massive activations", "not agreed on"
    ),
    "dispersion_without_first": KnownSignal(
        "D without the first position", "geometry", "D of the other vectors", "higher, as D"
    ),
}
"""By the name in a record."""


def read_signals(record: dict[str, Any], definition: str) -> Iterator[dict[str, Any]]:
    """What a row a signal says beside its task's: ``metric``, ``value``, ``stderr``, ``quantiles``, ``how``.

    Of one with a value by layer the last layer given counts; where that is not the last hidden state, the row's
    ``definition`` names it, since numbers of unlike layers do not compare. What is no number is left out.

    Args:
        record: of a task.
        definition: the record's, as the table has it.
    """
    told = mapping(record.get("signals"))
    for name, known in SIGNALS.items():
        if name not in told:
            continue
        signal = mapping(told[name])
        at, of = _layer(signal, record)
        value, stderr = _checked(name, _at(signal.get("mean"), at)), _at(signal.get("stderr"), at)
        if value is None:
            continue
        row = {
            "metric": name,
            "value": value,
            "stderr": stderr,
            "how": f"definition {definition}: mean over documents{f', {of}' if of else ''}",
        }
        if of:
            row["definition"] = f"{definition}, {of}"
        if known.kind == "confidence":
            row["quantiles"] = _quantiles(signal.get("quantiles"))
        yield row


def signals_of_group(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Likewise of a group whose tasks all have the signal: the mean over all of their documents.

    Only of what is said of answers, since no text is the group's own; without quantiles, which do not add up.
    """
    signals = [mapping(record.get("signals")) for record in records]
    for name, known in SIGNALS.items():
        of_tasks = [mapping(signal.get(name)) for signal in signals]
        means = [_checked(name, number(s.get("mean"))) for s in of_tasks]
        parts = [(m, number(s.get("stderr")), integer(s.get("n"))) for m, s in zip(means, of_tasks, strict=True)]
        total = sum(n or 0 for _, _, n in parts)
        if known.kind != "confidence" or not total or any(mean is None or n is None for mean, _, n in parts):
            continue
        errors = [(n or 0) * error for _, error, n in parts if error is not None]
        value = number(sum((n or 0) * (mean or 0.0) for mean, _, n in parts) / total)
        if value is None:
            continue
        yield {
            "metric": name,
            "value": value,
            "stderr": number(math.hypot(*errors) / total) if len(errors) == len(parts) else None,
            "how": f"mean over the documents of {len(parts)} tasks",
        }


def _layer(signal: dict[str, Any], record: dict[str, Any]) -> tuple[int | None, str]:
    """Which of a list's values counts (None: there is no list), and its layer's name unless that is the last."""
    layers = signal.get("layers")
    if not isinstance(layers, list) or not layers:
        return None, ""
    layer, last = integer(layers[-1]), integer(mapping(record.get("model")).get("layers"))
    return len(layers) - 1, "" if layer is None or last in (None, layer) else f"h[{layer}]"


def _at(values: object, place: int | None) -> float | None:
    if place is None:
        return number(values)
    return number(values[place]) if isinstance(values, list) and len(values) == place + 1 else None


def _checked(name: str, value: float | None) -> float | None:
    """None for a probability that is none."""
    return None if value is None or (name in _SHARES and not 0 <= value <= 1) else value


def _quantiles(values: object) -> list[float] | None:
    """The 0th to 100th percentile of probabilities; None where it is no such list."""
    if not isinstance(values, list) or len(values) != _PERCENTILES or not set(map(type, values)) <= {float, int}:
        return None
    if any(value != value for value in values):
        return None
    rising = sorted(values)
    if rising[0] < 0 or rising[-1] > 1:
        return None
    # Interpolation may turn two neighbours round in the last digit.
    same = values == rising or all(abs(a - b) < _LAST_DIGITS for a, b in zip(values, rising, strict=True))
    return rising if same else None
