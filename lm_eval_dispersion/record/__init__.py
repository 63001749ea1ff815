"""What was measured on a corpus or on a task's prompts: collected, aggregated, and written as plain JSON."""

from lm_eval_dispersion.record._json import record, schema
from lm_eval_dispersion.record._recording import Recording, Segment, mean_by_layer
from lm_eval_dispersion.record._slices import Marked, slices
from lm_eval_dispersion.record._summary import Summary, number

__all__ = ["Marked", "Recording", "Segment", "Summary", "mean_by_layer", "number", "record", "schema", "slices"]
