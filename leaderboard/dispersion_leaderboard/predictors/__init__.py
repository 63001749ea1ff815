"""How well a label-free number predicts accuracy, for which models, how surely."""

from dispersion_leaderboard.predictors._domains import fit_domains
from dispersion_leaderboard.predictors._fit import fit_task
from dispersion_leaderboard.predictors._observations import DomainObservations, Observations, Signal
from dispersion_leaderboard.predictors._predict import predict, predict_domain
from dispersion_leaderboard.predictors._results import (
    Curve,
    DomainFit,
    DomainSignalFit,
    Estimate,
    FamilyEffect,
    Increment,
    Prediction,
    Scores,
    SignalFit,
    TaskFit,
    WithinModel,
)
from dispersion_leaderboard.predictors._transfer import average_thresholded_confidence, difference_of_confidences

__all__ = [
    "Curve",
    "DomainFit",
    "DomainObservations",
    "DomainSignalFit",
    "Estimate",
    "FamilyEffect",
    "Increment",
    "Observations",
    "Prediction",
    "Scores",
    "Signal",
    "SignalFit",
    "TaskFit",
    "WithinModel",
    "average_thresholded_confidence",
    "difference_of_confidences",
    "fit_domains",
    "fit_task",
    "predict",
    "predict_domain",
]
