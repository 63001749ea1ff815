"""What each signal is worth on a labelled run: does it put wrong answers first, and better than the others do?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.rank._bootstrap import RESAMPLES, Estimate, Statistic, at_once, bootstrap
from lm_eval_dispersion.rank._documents import Documents
from lm_eval_dispersion.rank._order import Bools, Floats, Order, auroc_in_strata

FEWEST = 20
"""Documents; of fewer no yardstick is given."""
_DECILES_FROM = 200
_UNKNOWN = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Worth:
    """Of one signal, the hard side as fixed in ``HARD``; 95 % intervals."""

    name: str
    n: int
    """Documents that have the signal."""
    auroc: Estimate
    """Of wrong answers: one half says nothing, one tells all of them apart."""
    length_held: Estimate
    """The same with the length of the prompt held constant (``auroc_in_strata``)."""
    hardest_tenth: Estimate
    """Accuracy there: the lower, the better the signal."""
    layers: int = 0
    """Where the layer was chosen after looking: among how many."""


@dataclass(frozen=True)
class Difference:
    """AUROC of the best other signal less that of D, over the documents that have both."""

    other: str
    other_auroc: float
    dispersion_auroc: float
    n: int
    candidates: int
    """Signals among which the other one was chosen after looking."""
    difference: Estimate = _UNKNOWN

    @property
    def level(self) -> float:
        """Of the interval: Bonferroni's for so many candidates."""
        return 1 - 0.05 / self.candidates

    def __str__(self) -> str:
        which = f"the best of {self.candidates} other signals" if self.candidates > 1 else "the only other signal"
        d, other = f"D (AUROC {self.dispersion_auroc:.2f})", f"{which}, {self.other} ({self.other_auroc:.2f}),"
        if self.difference.low > 0:
            said = f"{other[0].upper()}{other[1:]} tells wrong answers better than {d} does"
        elif self.difference.high < 0:
            said = f"{d} tells wrong answers better than {other} does"
        else:
            said = f"{d} and {other} cannot be told apart"
        chosen = ", widened because the best was chosen after looking" if self.candidates > 1 else ""
        level = f"{100 * self.level:.3g} % interval{chosen}"
        return f"{said}: difference {self.difference} ({level}; paired, {self.n} documents)."


@dataclass(frozen=True)
class Yardstick:
    """All that is said of the signals of a labelled run."""

    metric: str
    n: int
    accuracy: Estimate
    strata: int
    """Of length; 0 where no document has one."""
    worths: list[Worth]
    layers: dict[str, float]
    """AUROC of D at each of several layers."""
    against: Difference | None

    def sentences(self) -> list[str]:
        """Which signal is better, and which say anything at all."""
        first = "Nothing to compare: there is no D, or no other signal." if self.against is None else str(self.against)
        fixed = [worth for worth in self.worths if not worth.layers]
        above = [worth.name for worth in fixed if worth.auroc.low > 0.5]
        below = [worth.name for worth in fixed if worth.auroc.high < 0.5]
        second = f"AUROC above one half by its own interval: {', '.join(above) or 'none'}"
        return [first, f"{second}{'; below it, the other way round: ' + ', '.join(below) if below else ''}."]


def why_no_yardstick(documents: Documents) -> str:
    """Why it cannot be said what the signals are worth; empty where it can."""
    if documents.correct is None:
        return f"no labels: {documents.unlabelled}"
    if len(documents) < FEWEST:
        return f"{len(documents)} documents, fewer than {FEWEST}"
    if len(set(documents.correct.tolist())) < 2:
        return f"all {len(documents)} answers are {'right' if documents.correct[0] else 'wrong'}"
    return ""


def yardstick(documents: Documents, resamples: int = RESAMPLES, seed: int = 0) -> Yardstick:
    """Of documents that have one (``why_no_yardstick``); the same numbers for the same seed."""
    assert documents.correct is not None and documents.metric is not None
    wrong, n = ~documents.correct, len(documents)
    hardness = {name: signal.hardness for name, signal in documents.signals.items()}
    layers = {name: at_once(Order(h, wrong).auroc, n) for name, h in hardness.items() if name.startswith("dispersion@")}
    best = max((name for name in layers if np.isfinite(layers[name])), key=layers.__getitem__, default=None)
    names = [*documents.names]
    if best is not None:
        names.insert(1, best)
    strata = length_strata(documents)
    against = _against({name: hardness[name] for name in documents.names}, wrong)

    statistics: dict[tuple[str, str], tuple[Statistic, float]] = {("", "accuracy"): (lambda w: w @ ~wrong / n, 0.95)}
    if against:
        statistics["", "difference"] = against[1], against[0].level
    for name in names:
        order = Order(hardness[name], wrong)
        statistics[name, "auroc"] = order.auroc, 0.95
        statistics[name, "tenth"] = order.accuracy_in_hardest_tenth, 0.95
        if name != "length":
            statistics[name, "held"] = _held(hardness[name], wrong, strata), 0.95
    found = bootstrap(statistics, n, resamples, seed)
    return Yardstick(
        metric=documents.metric,
        n=n,
        accuracy=found["", "accuracy"],
        strata=int(strata.max()) + 1,
        worths=[
            Worth(
                name=name,
                n=int(np.isfinite(hardness[name]).sum()),
                auroc=found[name, "auroc"],
                length_held=found.get((name, "held"), _UNKNOWN),
                hardest_tenth=found[name, "tenth"],
                layers=len(layers) if name == best else 0,
            )
            for name in names
        ],
        layers=layers,
        against=replace(against[0], difference=found["", "difference"]) if against else None,
    )


def length_strata(documents: Documents) -> NDArray[np.int64]:
    """[documents]: deciles of length, or terciles of fewer than 200; equal lengths together, -1 for no length."""
    if "length" not in documents.signals:
        return np.full(len(documents), -1)
    length = documents.signals["length"].values
    has = np.isfinite(length)
    many = 10 if has.sum() >= _DECILES_FROM else 3
    edges = np.unique(np.quantile(length[has], np.arange(1, many) / many))
    return np.where(has, np.searchsorted(edges, np.where(has, length, 0), side="left"), -1)


def _held(hardness: Floats, wrong: Bools, strata: NDArray[np.int64]) -> Statistic:
    orders = [Order(np.where(strata == stratum, hardness, np.nan), wrong) for stratum in range(int(strata.max()) + 1)]
    return lambda weights: auroc_in_strata(orders, weights)


def _against(hardness: dict[str, Floats], wrong: Bools) -> tuple[Difference, Statistic] | None:
    """The best other signal, chosen by its AUROC, and how far it is ahead of D; None where there is no such pair."""

    def auroc(values: Floats) -> float:
        return at_once(Order(values, wrong).auroc, len(wrong))

    aurocs = {name: value for name, h in hardness.items() if np.isfinite(value := auroc(h))}
    d = aurocs.pop("dispersion", None)
    if d is None or not aurocs:
        return None
    other = max(aurocs, key=aurocs.__getitem__)
    both = np.isfinite(hardness["dispersion"]) & np.isfinite(hardness[other])
    ours, theirs = (np.where(both, hardness[name], np.nan) for name in ("dispersion", other))
    mine, its = Order(ours, wrong), Order(theirs, wrong)
    found = Difference(other, auroc(theirs), auroc(ours), int(both.sum()), len(aurocs))
    return found, lambda weights: its.auroc(weights) - mine.auroc(weights)
