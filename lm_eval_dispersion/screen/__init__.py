"""Which checkpoint, without running one: G over rows of the output projection, read where they lie.

No forward pass, no model in memory, no whole download: a header and some thousand rows, of a folder or over HTTP.
"""

from lm_eval_dispersion.screen._common import SHARE, in_common
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._gap import between, gap, within
from lm_eval_dispersion.screen._rank import Group, Lead, Ranked, rank
from lm_eval_dispersion.screen._results import record, results, write_results
from lm_eval_dispersion.screen._score import Score
from lm_eval_dispersion.screen._screen import Screened, screen, spelled
from lm_eval_dispersion.screen._sets import FEWEST, FEWEST_GENERAL, GENERAL, MOST, SETS, check_sets, spell, task_name

__all__ = [
    "FEWEST",
    "FEWEST_GENERAL",
    "GENERAL",
    "MOST",
    "SETS",
    "SHARE",
    "Group",
    "Lead",
    "Ranked",
    "Score",
    "Screened",
    "Unscreenable",
    "between",
    "check_sets",
    "gap",
    "in_common",
    "rank",
    "record",
    "results",
    "screen",
    "spell",
    "spelled",
    "task_name",
    "within",
    "write_results",
]
