"""What was measured on a corpus or on a task's prompts: collected, aggregated, and written as plain JSON."""

from lm_eval_dispersion.record._json import record, schema
from lm_eval_dispersion.record._recording import Recording, Segment, mean_by_layer
from lm_eval_dispersion.record._signals import ANSWER_SIGNALS, signals_of_document, signals_of_task, signals_of_window
from lm_eval_dispersion.record._slices import Marked, slices
from lm_eval_dispersion.record._summary import Summary, number

__all__ = [
    "ANSWER_SIGNALS",
    "Marked",
    "Recording",
    "Segment",
    "Summary",
    "mean_by_layer",
    "number",
    "record",
    "schema",
    "signals_of_document",
    "signals_of_task",
    "signals_of_window",
    "slices",
]
