"""Which of these models predicts a text best: runs on one corpus set side by side, paired by document."""

from lm_eval_dispersion.compare._comparable import differences
from lm_eval_dispersion.compare._comparison import Comparison, Difference, Model, Pair, compare
from lm_eval_dispersion.compare._documents import Documents, bits_apart, dispersion_apart, read_documents
from lm_eval_dispersion.compare._entries import Entry, by_corpus
from lm_eval_dispersion.compare._estimates import Estimate, documents_needed, holm, interval, p_value, ratio
from lm_eval_dispersion.compare._json import as_json
from lm_eval_dispersion.compare._names import labels
from lm_eval_dispersion.compare._page import page
from lm_eval_dispersion.compare._sentences import (
    method,
    more_documents,
    place,
    probability,
    shown,
    verdict,
    warnings,
)

__all__ = [
    "Comparison",
    "Difference",
    "Documents",
    "Entry",
    "Estimate",
    "Model",
    "Pair",
    "as_json",
    "bits_apart",
    "by_corpus",
    "compare",
    "differences",
    "dispersion_apart",
    "documents_needed",
    "holm",
    "interval",
    "labels",
    "method",
    "more_documents",
    "p_value",
    "page",
    "place",
    "probability",
    "ratio",
    "read_documents",
    "shown",
    "verdict",
    "warnings",
]
