"""``python -m lm_eval_dispersion``: the same as ``lm-eval-dispersion``."""

import sys

from lm_eval_dispersion.commands import main

if __name__ == "__main__":
    sys.exit(main())
