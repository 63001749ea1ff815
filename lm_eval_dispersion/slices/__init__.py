"""The paper's slices: D across documents of which 0 to 100 % were answered rightly, and what that curve can show.

All of it is in the records of labelled tasks (``lm_eval_dispersion.record`` computes it when a run is over, since
single vectors are gone with the process); here it is read and put into words.
"""

from lm_eval_dispersion.slices._over_tasks import OverTasks, over_tasks
from lm_eval_dispersion.slices._read import Estimate, Point, Shuffles, Slices, read_slices
from lm_eval_dispersion.slices._words import CURVE, among, conclusion, percent, shape, spearman_warning

__all__ = [
    "CURVE",
    "Estimate",
    "OverTasks",
    "Point",
    "Shuffles",
    "Slices",
    "among",
    "conclusion",
    "over_tasks",
    "percent",
    "read_slices",
    "shape",
    "spearman_warning",
]
