"""Pure mathematics of representation dispersion: tensors in, numbers out; no models, no lm_eval, no files.

But for one: sums that would fill the memory go to a temporary file without a name (``_shelf``).
"""

from lm_eval_dispersion.geometry._classes import LEVELS, SEEDS, StratumSums
from lm_eval_dispersion.geometry._closed_form import UnitSums, closed_form, dispersion, unit_sums, weighted_sum
from lm_eval_dispersion.geometry._correlation import Correlation, correlate
from lm_eval_dispersion.geometry._jackknife import GROUPS
from lm_eval_dispersion.geometry._pairs import Pairs
from lm_eval_dispersion.geometry._resampling import Classes, Estimate, Permutations, classes
from lm_eval_dispersion.geometry._spectrum import SIGNALS, spectrum
from lm_eval_dispersion.geometry._vectors import Vectors
from lm_eval_dispersion.geometry._within import Within

__all__ = [
    "GROUPS",
    "LEVELS",
    "SEEDS",
    "SIGNALS",
    "Classes",
    "Correlation",
    "Estimate",
    "Pairs",
    "Permutations",
    "StratumSums",
    "UnitSums",
    "Vectors",
    "Within",
    "classes",
    "closed_form",
    "correlate",
    "dispersion",
    "spectrum",
    "unit_sums",
    "weighted_sum",
]
