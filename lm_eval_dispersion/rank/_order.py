"""What an order of documents says of their answers: AUROC, and accuracy at its hard end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Order:
    """Documents from the hardest on, equal ones together.

    Its statistics take weights [..., n]: how often a resample holds each document; ones are the documents themselves.
    Thousands of resamples cost one sort. NaN where a statistic is not defined.

    Args:
        hardness: [n], higher for a harder document; one that is not finite is left out.
        wrong: [n], whether the answer is wrong.
    """

    def __init__(self, hardness: Floats, wrong: Bools) -> None:
        kept = np.flatnonzero(np.isfinite(hardness))
        self._documents = kept[np.argsort(-hardness[kept], kind="stable")]
        self._begins = np.flatnonzero(np.diff(hardness[self._documents], prepend=np.nan) != 0)
        self._wrong = wrong[self._documents]
        self.n = len(kept)
        """Documents that are not left out."""

    def auroc(self, weights: Floats) -> Floats:
        """The chance that a wrong answer's document is harder than a right one's; a tie counts one half."""
        won, wrong, right = self.won(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = won / (wrong * right)
        return found

    def won(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Pairs of a wrong and a right answer in which the wrong one is harder; how many are wrong; how many right."""
        wrong, right = self._tied(weights)
        harder_or_equal = right.cumsum(-1)
        rights = harder_or_equal[..., -1] if self.n else right.sum(-1)
        won: Floats = (wrong * (rights[..., None] - harder_or_equal + right / 2)).sum(-1)
        return won, wrong.sum(-1), rights

    def accuracy_in_hardest_tenth(self, weights: Floats) -> Floats:
        """Share of right answers in the hardest tenth, rounded up; of documents tied at its end the mean counts."""
        wrong, right = self._tied(weights)
        both = wrong + right
        many = np.ceil(both.sum(-1, keepdims=True) / 10)
        taken = np.clip(many - (both.cumsum(-1) - both), 0, both)
        share = np.divide(right, both, out=np.zeros_like(both), where=both > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (taken * share).sum(-1) / many[..., 0]
        return found

    def _tied(self, weights: Floats) -> tuple[Floats, Floats]:
        """Wrong and right answers, [..., groups of equal hardness]."""
        held = np.take(weights, self._documents, axis=-1)
        wrong = held * self._wrong
        right = held - wrong
        if len(self._begins) < self.n:
            wrong = np.add.reduceat(wrong, self._begins, axis=-1)
            right = np.add.reduceat(right, self._begins, axis=-1)
        return wrong, right


def auroc_in_strata(orders: list[Order], weights: Floats) -> Floats:
    """AUROC with a covariate held constant: the mean over its strata, weighted by the wrong answers in each.

    The covariate-adjusted AUC of Janes and Pepe (2009, Biometrika 96:371-382), with the covariate in strata. A stratum
    without a right or without a wrong answer has no AUC and is left out.

    Args:
        orders: one a stratum.
        weights: [..., n], as for ``Order``.
    """
    sums, cases = np.zeros(weights.shape[:-1]), np.zeros(weights.shape[:-1])
    for order in orders:
        won, wrong, right = order.won(weights)
        has = (wrong > 0) & (right > 0)
        sums += np.divide(won, right, out=np.zeros_like(sums), where=has)  # the stratum's AUROC, once a wrong answer
        cases += np.where(has, wrong, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = sums / cases
    return found
