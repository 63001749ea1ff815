"""The sentences that say what a fit found, a null result as plainly as a finding."""

from __future__ import annotations

import math

from dispersion_leaderboard.predictors import DomainFit, Estimate, Increment, SignalFit, TaskFit

_ALPHA = 0.05


def estimate(value: Estimate | None, digits: int = 2) -> str:
    """``0.52 [0.31, 0.70]``; a dash where it is not defined."""
    if value is None or not math.isfinite(value.value):
        return "–"
    bounds = f" [{value.low:.{digits}f}, {value.high:.{digits}f}]" if math.isfinite(value.low) else ""
    return f"{value.value:.{digits}f}{bounds}"


def signal_named(fit: TaskFit, name: str | None) -> SignalFit | None:
    """One of a fit's signals."""
    return next((signal for signal in fit.signals if signal.name == name), None)


def verdict(fit: TaskFit) -> str:
    """What a visitor takes away from a benchmark's page."""
    if fit.status != "fitted":
        return f"{fit.status[0].upper()}{fit.status[1:]}: {fit.reason.rstrip('.')}."
    best = signal_named(fit, fit.best)
    if best is None:
        return "No label-free signal could be fitted."
    mae, mean = estimate(best.by_family.mae, 1), estimate(best.baseline_mae, 1)
    found = (
        f"Of {fit.tried} label-free signals, {best.label} errs least on families left out: {mae} points, where the "
        f"mean errs {mean} ({best.by_family.n_models} models, {best.by_family.n_families} families)."
    )
    if fit.beats_mean:
        return (
            f"{found} It beats the mean, after correction for the number of signals tried (p {fit.beats_mean_p:.3f})."
        )
    if fit.least_p > _ALPHA:
        return f"{found} So few families cannot show that it beats the mean: no p below {fit.least_p:.2f} can be had."
    return f"{found} That is no evidence that it beats the mean: p {fit.beats_mean_p:.2f}, corrected for those tried."


def domain_verdict(fit: DomainFit) -> str:
    """What a visitor takes away from the page of domains."""
    if fit.status != "fitted":
        return f"{fit.status[0].upper()}{fit.status[1:]}: {fit.reason.rstrip('.')}."
    best = next((s for s in fit.signals if s.name == fit.best), None)
    if best is None:
        return "Nothing could be fitted."
    found = f"{best.label} changes the error by {estimate(best.gain, 1)} points."
    if fit.beats_baseline:
        return f"Yes: {found} That is beyond chance after correction for the number tried (p {best.p_adjusted:.3f})."
    return f"Not shown: {found} That cannot be told from chance (p {best.p_adjusted:.2f} after correction)."


def increment(found: Increment) -> str:
    """Whether D adds to what is known already."""
    if found.p_adjusted < _ALPHA:
        return "adds to it" if found.mae_difference.value < 0 else "goes with accuracy, but predicts no better"
    if found.least_p > _ALPHA:
        return "could not have been shown with so few families"
    return "adds nothing that can be told from chance"
