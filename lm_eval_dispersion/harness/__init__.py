"""The lm_eval face: the ``class:`` of our YAML tasks and the request types they ask a model for.

Importing this package (which lm_eval does when it loads one of our tasks, and not before) is what attaches
the request types to ``lm_eval.api.model.LM``.
"""

from lm_eval_dispersion._errors import TaskError, end_in_one_line
from lm_eval_dispersion.seams import fix, require

end_in_one_line()
require("lm_eval")
try:
    from lm_eval_dispersion.harness import _upstream
    from lm_eval_dispersion.harness._task import DispersionTask, records

    _upstream.attach(records)
except (ImportError, AttributeError) as error:  # a version that is known, and is not what it says
    from importlib.metadata import version

    raise TaskError(
        f"lm_eval {version('lm_eval')} has moved a place that we build on ({error}); {fix('lm_eval')}"
    ) from error

__all__ = ["DispersionTask"]
