"""Pure mathematics of representation dispersion: tensors in, numbers out; no models, no lm_eval, no files.

But for one: sums that would fill the memory go to a temporary file without a name (``_shelf``).
"""

from lm_eval_dispersion.geometry._closed_form import UnitSums, closed_form, dispersion, unit_sums
from lm_eval_dispersion.geometry._correlation import Correlation, correlate
from lm_eval_dispersion.geometry._jackknife import GROUPS
from lm_eval_dispersion.geometry._pairs import Pairs
from lm_eval_dispersion.geometry._spectrum import SIGNALS, spectrum
from lm_eval_dispersion.geometry._within import Within

__all__ = [
    "GROUPS",
    "SIGNALS",
    "Correlation",
    "Pairs",
    "UnitSums",
    "Within",
    "closed_form",
    "correlate",
    "dispersion",
    "spectrum",
    "unit_sums",
]
