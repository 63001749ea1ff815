"""Documents of one run ordered by how hard a signal says they are, and what each signal is worth where labels are.

From lm_eval's logged samples alone: no model, no pass. Which side of a signal is the hard one is fixed in ``HARD``.
"""

from lm_eval_dispersion.rank._bootstrap import Estimate
from lm_eval_dispersion.rank._documents import Documents, Signal, read_documents
from lm_eval_dispersion.rank._order import Order
from lm_eval_dispersion.rank._ranking import Ranking, csv_of, json_of, jsonl_of, page_of, value_in_words
from lm_eval_dispersion.rank._signals import HARD, signals_of
from lm_eval_dispersion.rank._slices import Slice, Slices, slices_of
from lm_eval_dispersion.rank._yardstick import Difference, Worth, Yardstick, why_no_yardstick, yardstick

__all__ = [
    "HARD",
    "Difference",
    "Documents",
    "Estimate",
    "Order",
    "Ranking",
    "Signal",
    "Slice",
    "Slices",
    "Worth",
    "Yardstick",
    "csv_of",
    "json_of",
    "jsonl_of",
    "page_of",
    "read_documents",
    "signals_of",
    "slices_of",
    "value_in_words",
    "why_no_yardstick",
    "yardstick",
]
