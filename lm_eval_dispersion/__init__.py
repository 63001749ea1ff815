"""Representation dispersion of language models (arXiv 2506.24106), as an lm-evaluation-harness plugin.

Most users never import this package: after ``pip install``, ``lm_eval --tasks dispersion_wiki`` finds the
tasks. The names below are for people who do not run lm_eval. They are loaded on first use, because every
Python start-up of the environment passes through this file (see ``_discovery``).
"""

from lm_eval_dispersion._discovery import wait_for_lm_eval
from lm_eval_dispersion._version import __version__

# Whoever imports us, if only to find our tasks, has them found.
wait_for_lm_eval()

# Type checkers know this name; importing `typing` would cost every Python start-up 3 ms.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from lm_eval_dispersion._definition import Definition
    from lm_eval_dispersion._measure import Measurement, measure
    from lm_eval_dispersion.geometry import Pairs, Within, dispersion
    from lm_eval_dispersion.harness import DispersionTask

_HOME = {
    "dispersion": "lm_eval_dispersion.geometry",
    "Pairs": "lm_eval_dispersion.geometry",
    "Within": "lm_eval_dispersion.geometry",
    "Definition": "lm_eval_dispersion._definition",
    "Measurement": "lm_eval_dispersion._measure",
    "measure": "lm_eval_dispersion._measure",
    "DispersionTask": "lm_eval_dispersion.harness",
}

__all__ = ["Definition", "DispersionTask", "Measurement", "Pairs", "Within", "__version__", "dispersion", "measure"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
