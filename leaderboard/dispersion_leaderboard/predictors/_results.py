"""What a fit says. Everything turns into JSON by ``dataclasses.asdict``; NaN stands for what is not defined."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval."""

    value: float
    low: float
    """NaN where the interval is not defined."""
    high: float
    """Likewise."""
    reason: str = ""
    """Why something is not defined, where it is not."""


@dataclass(frozen=True)
class Scores:
    """How out-of-fold predictions compare with what was measured; intervals resample families."""

    r2: Estimate
    """Of accuracy, against the mean of the same models; below 0 where the mean is better."""
    mae: Estimate
    """Mean absolute error in accuracy points, 0 to 100."""
    spearman: Estimate
    kendall: Estimate
    """Tau-b."""
    n_models: int
    n_families: int
    rank_resamples: int = 0
    """Bootstrap resamples behind the two rank correlations: fewer where models are many; 0 where there are none."""


@dataclass(frozen=True)
class Curve:
    """A fit of one feature, from all data."""

    x: tuple[float, ...]
    predicted: tuple[float, ...]
    """Fractions."""
    low: tuple[float, ...]
    """The prediction interval for a model of a new family; NaN where there is none."""
    high: tuple[float, ...]
    """Likewise."""


@dataclass(frozen=True)
class SignalFit:
    """One predictor and how well it did."""

    name: str
    """Stable key."""
    label: str
    """As shown."""
    kind: str
    """``baseline``, ``combination`` or the kind of the signal."""
    features: tuple[str, ...]
    """Labels of the signals that it uses; for one chosen among several, all of them."""
    by_model: Scores
    """Leaving out one model: flatters, since the rest of its family stays."""
    by_family: Scores
    """Leaving out one family: the headline."""
    baseline_mae: Estimate
    """Of the mean accuracy of the others, on the same models, leaving out one family."""
    gain: Estimate
    """MAE less ``baseline_mae``, paired: negative where the signal helps. Not corrected for the number tried."""
    curve: Curve | None
    """Where one feature is used that was not chosen by the fit."""
    depth: float | None
    """For the best layer, the relative depth chosen on all data; in the scores it is chosen inside each fold."""
    chosen: str = ""
    """For one other benchmark, the one chosen on all data; likewise."""


@dataclass(frozen=True)
class Prediction:
    """Accuracy of one entry as predicted; fractions 0 to 1."""

    entry: str
    predicted: float
    """With its family left out where it was measured itself."""
    low: float
    """NaN where there is no interval."""
    high: float
    """Likewise."""
    measured: float | None
    warnings: tuple[str, ...]
    """When not to trust it."""
    signal: str = ""
    """Label of the predictor."""


@dataclass(frozen=True)
class Increment:
    """What a D adds to what was known without it."""

    signal: str
    """Label of the D."""
    over: str
    """``perplexity``, ``size`` or ``perplexity and size``."""
    partial: Estimate
    """Partial correlation with the logit of accuracy."""
    p: float
    """Two-sided, restricted wild cluster bootstrap over families."""
    p_adjusted: float
    """Holm, over all increments asked of the benchmark: every D tried, beside everything."""
    least_p: float
    """The least p that so few families can give: above 0.05, nothing could have been found."""
    mae_difference: Estimate
    """Paired, leaving out one family, in points; negative where D helps."""
    n_models: int
    n_families: int


@dataclass(frozen=True)
class FamilyEffect:
    """Family as a fixed effect beside the best signal: for inference only, it cannot predict a new family."""

    f: float
    """F of the family terms."""
    df_families: int
    df_residual: int
    p: float
    """Of F, taking the models inside a family as independent: a description rather than a proof."""
    r2_without: float
    r2_with: float
    """R2 in sample, on the logit scale, without and with family."""
    features: tuple[str, ...]
    slopes: tuple[float, ...]
    """Of the features inside families, on the logit scale."""
    slope_p: tuple[float, ...]
    """Clustered by family."""


@dataclass(frozen=True)
class TaskFit:
    """All that is known of predicting one benchmark."""

    task: str
    chance: float | None
    n_models: int
    n_families: int
    status: str
    """``fitted``, ``not enough models`` or ``no signal``."""
    reason: str
    """One sentence for a visitor; empty when fitted."""
    signals: tuple[SignalFit, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    """(label, why) of the signals that could not be fitted."""
    tried: int = 0
    """Label-free signals fitted among ``signals``: what ``best`` was chosen from and is corrected for."""
    best: str | None = None
    """The label-free signal that errs least on families left out, relative to the mean on the same models."""
    best_with_labels: str | None = None
    """Likewise where another benchmark's accuracy may be used too."""
    beats_mean: bool = False
    """Whether the gain of ``best`` over the mean holds after correction for ``tried``."""
    beats_mean_p: float = math.nan
    """Sign flips of whole families, corrected for ``tried`` by the largest statistic (Westfall and Young)."""
    least_p: float = math.nan
    """The least that so few families can give."""
    interval_level: float = 0.9
    coverage: Estimate | None = None
    """Share of the models of families left out that the prediction interval held; the interval resamples families."""
    interval_reason: str = ""
    """Why there are no prediction intervals; empty where there are."""
    predictions: tuple[Prediction, ...] = ()
    """By ``best``, of every entry that has its features."""
    family_effect: FamilyEffect | None = None
    increments: tuple[Increment, ...] = ()


@dataclass(frozen=True)
class DomainSignalFit:
    """One predictor of accuracy on a domain left out."""

    name: str
    label: str
    kind: str
    """``baseline``, ``dispersion`` or ``confidence``."""
    known: Scores
    """The domain left out, the model seen on the others; intervals resample families and domains."""
    unknown: Scores | None
    """The domain and the model's whole family left out; None with fewer than three families, or where the model's own
    mean is used."""
    over: str
    """Name of the baseline it has to beat."""
    gain: Estimate
    """MAE less that of ``over``, paired (model known); negative where the signal helps."""
    p: float
    """Of ``gain``, one-sided, sign flips of whole domains; without the model's mean also of whole families, and the
    larger p counts. NaN for a baseline, and where families are fewer than three."""
    p_adjusted: float
    """Holm, over the signals tried."""


@dataclass(frozen=True)
class WithinModel:
    """Of one model: whether its accuracy is higher on domains whose prompts have a higher D."""

    entry: str
    spearman: Estimate
    """Over domains; the interval resamples them."""
    n_domains: int


@dataclass(frozen=True)
class DomainFit:
    """All that is known of predicting accuracy on a new domain."""

    name: str
    n_models: int
    n_families: int
    n_domains: int
    status: str
    """``fitted``, ``not enough domains`` or ``no signal``."""
    reason: str
    """One sentence for a visitor; empty when fitted."""
    signals: tuple[DomainSignalFit, ...] = ()
    best: str | None = None
    """D beside the model's own mean: fixed beforehand, not chosen by its error."""
    beats_baseline: bool = False
    """Whether D beats the model's own mean on the other domains, after correction."""
    within: tuple[WithinModel, ...] = ()
    mean_within: Estimate | None = None
    """Mean of the within-model correlations; the interval resamples families and domains."""
    interval_level: float = 0.9
    coverage: Estimate | None = None
    """Share of the cells of domains left out that the prediction interval held."""
    interval_reason: str = ""
