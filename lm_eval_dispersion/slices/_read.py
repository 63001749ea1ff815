"""A task's slices, read from its record. Records are strangers': nothing in them is trusted to be there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lm_eval_dispersion.runs import Run, number, plain


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over resampled documents."""

    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval, where there is one, lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Shuffles:
    """The difference where right and wrong are shuffled within strata."""

    within: tuple[str, ...]
    strata: int
    shuffled: int
    mean: float | None
    p: float | None


@dataclass(frozen=True)
class Point:
    """D at one share of right answers."""

    right: float
    expected: Estimate
    """The mean over all slices with that share."""
    slices: float
    """The mean over those that were drawn."""
    stderr: float
    """Its standard error over seeds."""


@dataclass(frozen=True)
class Stratum:
    """Right and wrong answers of the documents that are alike in something."""

    kind: str
    label: str
    right: int
    wrong: int
    cosines: tuple[float | None, float | None]
    """Mean cosine over pairs both right, and both wrong; None for fewer than two, or where it was not recorded."""


@dataclass(frozen=True)
class Slices:
    """``slices`` of a record; see ``record.schema.json``."""

    task: str
    metric: str
    layer: int
    right: int
    wrong: int
    left_out: int
    cosines: tuple[Estimate, Estimate, Estimate]
    """Over pairs both right, one of each, both wrong: |m_c|^2, m_c.m_w, |m_w|^2."""
    difference: Estimate
    """|m_w|^2 - |m_c|^2."""
    rises: float
    size: int
    seeds: int
    points: tuple[Point, ...]
    shuffles: tuple[Shuffles, ...]
    monotone: float
    resamples: int
    strata: tuple[Stratum, ...]
    definition: tuple[Any, ...]
    """Tasks of one run are taken together where it is the same."""

    @property
    def spearman(self) -> float | None:
        """Of the points with their shares; None where all are the same."""
        from scipy.stats import spearmanr

        drawn = [point.slices for point in self.points]
        if len(set(drawn)) < 2:
            return None
        return number(float(spearmanr([point.right for point in self.points], drawn).statistic))


def read_slices(run: Run, task: str) -> Slices:
    """What a record says.

    Raises:
        ValueError: with the reason, in one line, where it says nothing.
    """
    record = run.record(task)
    if record is None:
        wrapped = task if task.startswith("dispersion_") else f"dispersion_{task}"
        raise ValueError(f"no dispersion recorded; run {plain(wrapped)}")
    try:
        if record["definition"]["kind"] == "corpus":
            raise _Nothing("no labels: of a corpus no document is right or wrong")
        if "slices" not in record:
            raise _Nothing(
                f"not recorded by lm-eval-dispersion {plain(record['plugin_version'])}; run it again with this version"
            )
        found = record["slices"]
        if found["undefined"] is not None:
            raise _Nothing(plain(found["undefined"], 500))
        return _slices(task, record, found)
    except _Nothing as reason:
        raise ValueError(str(reason)) from None
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, ValueError) as error:
        raise ValueError(f"the record cannot be read ({type(error).__name__}: {plain(error)})") from None


class _Nothing(Exception):
    """The reason why there are no slices."""


def _slices(task: str, record: dict[str, Any], found: dict[str, Any]) -> Slices:
    curve = found["curve"]
    names = ("right", "expected", "low", "high", "slices", "slices_stderr")
    rows = zip(*(curve[name] for name in names), strict=True)
    points = tuple(
        Point(_float(right), Estimate(_float(value), number(low), number(high)), _float(d), _float(stderr))
        for right, value, low, high, d, stderr in rows
    )
    if len(points) < 2:
        raise ValueError(f"a curve of {len(points)} points")
    of = found["cosines"]
    definition = record["definition"]
    return Slices(
        task=plain(task),
        metric=plain(found["metric"]),
        layer=int(found["layer"]),
        right=int(found["right"]),
        wrong=int(found["wrong"]),
        left_out=int(found["left_out"]),
        cosines=(_estimate(of["right"]), _estimate(of["between"]), _estimate(of["wrong"])),
        difference=_estimate(found["difference"]),
        rises=_float(found["rises"]),
        size=int(found["size"]),
        seeds=int(found["seeds"]),
        points=points,
        shuffles=tuple(map(_shuffles, found["permutations"])),
        monotone=_float(found["monotone"]),
        resamples=int(found["resamples"]),
        strata=tuple(one for kind, strata in found["strata"].items() for one in _strata(kind, strata)),
        definition=(plain(definition["version"]), int(found["layer"])),
    )


def _float(value: Any) -> float:
    if (found := number(value)) is None:
        raise _Nothing("D of its slices is no number: vectors that are not finite")
    return found


def _estimate(one: dict[str, Any]) -> Estimate:
    return Estimate(_float(one["value"]), number(one["low"]), number(one["high"]))


def _shuffles(one: dict[str, Any]) -> Shuffles:
    kinds = tuple(plain(kind) for kind in one["within"])
    return Shuffles(kinds, int(one["strata"]), int(one["shuffled"]), number(one["mean"]), number(one["p"]))


def _strata(kind: str, of: dict[str, Any]) -> list[Stratum]:
    counts = [(int(right), int(wrong)) for right, wrong in zip(of["right"], of["wrong"], strict=True)]
    found = []
    for i, (label, both) in enumerate(zip(of["labels"], counts, strict=True)):
        places = (i, i + len(counts))
        gram = of["gram"]
        cosines = [None if gram is None else _among(gram[k][k], n) for k, n in zip(places, both, strict=True)]
        found.append(Stratum(plain(kind), plain(label), *both, cosines=(cosines[0], cosines[1])))
    return found


def _among(squared_sum: Any, n: int) -> float | None:
    square = number(squared_sum)
    return None if square is None or n < 2 or not math.isfinite(square) else (square - n) / (n * (n - 1))
