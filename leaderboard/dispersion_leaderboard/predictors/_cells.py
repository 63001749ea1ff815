"""Models by domains: the rows of the question across domains, and scores whose intervals resample both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from dispersion_leaderboard.predictors._folds import sums_by_group
from dispersion_leaderboard.predictors._observations import DomainObservations, Floats, Integers
from dispersion_leaderboard.predictors._results import Estimate, Scores
from dispersion_leaderboard.predictors._scores import RESAMPLES, estimate, pairs, weighted_spearman, weights
from dispersion_leaderboard.predictors._target import to_target

_RANKED_ROWS = 20_000
_RANK_RESAMPLES = 200
_PAIRS_SHOWN = 20_000
_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Cells:
    """Every (model, domain) with D and accuracy; all arrays are [rows]."""

    model: Integers
    """Position among the observations' entries."""
    family: Integers
    """Codes from 0."""
    domain: Integers
    """Codes from 0."""
    d: Floats
    target: Floats
    accuracy: Floats
    items: Floats
    chance: Floats
    log_parameters: Floats
    confidence: Floats
    """NaN where missing."""

    @property
    def over_chance(self) -> Floats:
        """Share of what is above chance; the scale of the plain means."""
        return np.asarray((self.accuracy - self.chance) / (1 - self.chance))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Models, families, domains."""
        return len(np.unique(self.model)), int(self.family.max(initial=-1)) + 1, int(self.domain.max(initial=-1)) + 1

    def take(self, kept: Integers) -> Cells:
        """Some of the rows, coded anew."""
        rows = {name: getattr(self, name)[kept] for name in self.__dataclass_fields__}
        for name in ("family", "domain"):
            rows[name] = np.unique(rows[name], return_inverse=True)[1]
        return Cells(**rows)


def cells(o: DomainObservations) -> Cells:
    """The complete ones of the models that have at least three."""
    chance = np.where(np.isfinite(o.chance), o.chance, 0.0)[None, :].repeat(len(o.entries), axis=0)
    complete = np.isfinite(o.dispersion) & (o.accuracy >= 0) & (o.accuracy <= 1)
    complete &= complete.sum(1, keepdims=True) >= 3
    model, domain = np.nonzero(complete)
    accuracy, items, chance = o.accuracy[complete], o.items[complete], chance[complete]
    return Cells(
        model=model,
        family=np.unique(np.array(o.family)[model], return_inverse=True)[1],
        domain=np.unique(domain, return_inverse=True)[1],
        d=o.dispersion[complete],
        target=to_target(accuracy, items, chance),
        accuracy=accuracy,
        items=items,
        chance=chance,
        log_parameters=np.asarray(o.log_parameters, dtype=float)[model],
        confidence=np.full(len(model), np.nan) if o.confidence is None else o.confidence[complete],
    )


class OwnMeanAndSlope(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The model's own mean, and one slope of D shared by all models, estimated inside models.

    X holds the model's number and D. One model alone gives the straight line through its domains.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> OwnMeanAndSlope:
        """Means by model, then the slope."""
        model, x = _split(X)
        target = np.asarray(y, dtype=float)
        self.models_, code = np.unique(model, return_inverse=True)
        size = np.bincount(code)
        means = sums_by_group(np.column_stack([x, target]), code, len(size)) / size[:, None]
        self.mean_d_, self.mean_target_ = means.T
        about = x - self.mean_d_[code]
        spread = float(about @ about)
        flat = spread <= 1e-12 * len(x) * max(float(x.var()), 1e-300)
        self.slope_ = 0.0 if flat else float(about @ (target - self.mean_target_[code])) / spread
        self.n_features_in_ = 2
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """NaN for a model that was not among those fitted."""
        model, x = _split(X)
        place = np.minimum(np.searchsorted(self.models_, model), len(self.models_) - 1)
        predicted = self.mean_target_[place] + self.slope_ * (x - self.mean_d_[place])
        return np.asarray(np.where(self.models_[place] == model, predicted, np.nan))


def _split(X: ArrayLike) -> tuple[Floats, Floats]:
    both = np.asarray(X, dtype=float)
    return both[:, 0], both[:, 1]


def leave_domain_and_family(x: Floats, y: Floats, c: Cells) -> Floats:
    """Predictions of y of every cell by least squares on [rows, p] without its domain and without its family."""
    _, families, domains = c.counts
    features = x.shape[1]
    columns = np.column_stack([np.ones(len(x)), x - x.mean(0), y - y.mean()])
    products = columns[:, :, None] * columns[:, None, :]
    by_cell = sums_by_group(products, c.family * domains + c.domain, families * domains)
    by_cell = by_cell.reshape(families, domains, features + 2, features + 2)
    rest = by_cell.sum((0, 1)) - by_cell.sum(1)[:, None] - by_cell.sum(0)[None] + by_cell
    rest, place = rest.reshape(-1, features + 2, features + 2), c.family * domains + c.domain
    n = rest[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = rest[:, 0, 1:] / n[:, None]
        about = rest[:, 1:, 1:] - n[:, None, None] * mean[:, :, None] * mean[:, None, :]
    predicted = y.mean() + mean[place, features]
    if not features:
        return np.asarray(predicted)
    slopes = np.zeros((len(rest), features))
    usable = n > features
    inverse = np.linalg.pinv(about[usable][:, :features, :features], rcond=1e-10, hermitian=True)
    slopes[usable] = (inverse @ about[usable][:, :features, features:])[:, :, 0]
    return np.asarray(predicted + ((columns[:, 1:-1] - mean[place, :features]) * slopes[place]).sum(1))


def both_weights(families: int, domains: int) -> tuple[Floats, Floats]:
    """[resamples, families] and [resamples, domains], drawn independently (Owen's pigeonhole bootstrap, 2007).

    Fewer than three families are not resampled: the interval is then one over domains, for these families.
    """
    of_domains = weights(domains)
    if families < 3:
        return np.ones((RESAMPLES, families)), of_domains
    # Where the counts are equal the two draws have to differ.
    return weights(families)[::-1], of_domains


def cell_mean(values: Floats, c: Cells) -> Estimate:
    """Mean over cells."""
    n, total = _resampled_sums(np.column_stack([np.ones(len(values)), values]), c).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return estimate(float(values.mean()), total / n)


def cell_scores(predicted: Floats, c: Cells, ordered: bool = True) -> Scores:
    """Compares fractions."""
    models, families, _ = c.counts
    about = c.accuracy - c.accuracy.mean()
    error = (predicted - c.accuracy) ** 2
    total = float(about @ about)
    sums = _resampled_sums(np.column_stack([np.ones(len(about)), about, about**2, error]), c)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = sums[:, 2] - sums[:, 1] ** 2 / sums[:, 0]
        r2 = estimate(1 - float(error.sum()) / total if total > 0 else np.nan, 1 - sums[:, 3] / spread)
    why = "all predictions or all measurements are equal" if ordered else "the mean orders nothing"
    nan = Estimate(float("nan"), float("nan"), float("nan"), why)
    spearman, kendall = (nan, nan) if not ordered or np.ptp(predicted) == 0 or total == 0 else _ranks(predicted, c)
    return Scores(
        r2=r2,
        mae=cell_mean(100 * np.abs(predicted - c.accuracy), c),
        spearman=spearman,
        kendall=kendall,
        n_models=models,
        n_families=families,
        rank_resamples=_RANK_RESAMPLES if ordered else 0,
    )


def _resampled_sums(values: Floats, c: Cells) -> Floats:
    """[resamples, columns]."""
    _, families, domains = c.counts
    of_families, of_domains = both_weights(families, domains)
    by_cell = sums_by_group(values, c.family * domains + c.domain, families * domains)
    rows = (of_families @ by_cell.reshape(families, -1)).reshape(RESAMPLES, domains, values.shape[1])
    return np.asarray(np.einsum("bk,bkq->bq", of_domains, rows))


def _ranks(predicted: Floats, c: Cells) -> tuple[Estimate, Estimate]:
    rows = np.arange(len(predicted))
    if len(rows) > _RANKED_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _RANKED_ROWS, replace=False))
    _, families, domains = c.counts
    of_families, of_domains = both_weights(families, domains)
    i, j = (rows[p[:_PAIRS_SHOWN]] for p in _shuffled_pairs(len(rows)))
    a, b = np.sign(c.accuracy[i] - c.accuracy[j]), np.sign(predicted[i] - predicted[j])
    rho, tau = np.empty(_RANK_RESAMPLES), np.empty(_RANK_RESAMPLES)
    step = max(1, _AT_ONCE // len(predicted))
    for start in range(0, _RANK_RESAMPLES, step):
        part = slice(start, min(start + step, _RANK_RESAMPLES))
        drawn = of_families[part][:, c.family] * of_domains[part][:, c.domain]
        rho[part] = weighted_spearman(c.accuracy[rows], predicted[rows], drawn[:, rows])
        weight = drawn[:, i] * drawn[:, j]
        both, of_x, of_y = (np.einsum("bp,p->b", weight, s) for s in (a * b, a * a, b * b))
        with np.errstate(divide="ignore", invalid="ignore"):
            tau[part] = both / np.sqrt(of_x * of_y)
    return (
        estimate(float(stats.spearmanr(c.accuracy, predicted).statistic), rho),
        estimate(float(stats.kendalltau(c.accuracy, predicted).statistic), tau),
    )


def _shuffled_pairs(n: int) -> tuple[Integers, Integers]:
    i, j = pairs(n)
    order = np.random.default_rng(0).permutation(len(i))
    return i[order], j[order]
