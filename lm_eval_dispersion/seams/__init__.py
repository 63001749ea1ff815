"""The one room for the inside of lm_eval: a place that we build on is a file, with the few lines that reach into it.

Each file has a look, which says whether the place is as those lines need it; ``doctor`` prints it. The files are
imported one by one, by those who use them: a place that has moved breaks nobody else. They import nothing of ours but
what is in this room. transformers and vLLM are used where states pass by (``capture/``); their looks are here.
"""

from collections.abc import Callable
from importlib.util import find_spec, module_from_spec

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.seams import _transformers, _vllm
from lm_eval_dispersion.seams._look import Moved, Seam, silence
from lm_eval_dispersion.seams._patch import listening
from lm_eval_dispersion.seams._versions import LIBRARIES, Library

__all__ = ["LIBRARIES", "SEAMS", "Library", "Moved", "Seam", "fix", "listening", "require", "silence"]


def _look_of(name: str) -> Callable[[], None]:
    def look() -> None:
        # A copy of the file, which no one else has: what it imports of lm_eval is looked up as it is now.
        spec = find_spec(f"{__name__}.{name}")
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(module := module_from_spec(spec))
        module._look()

    look.__name__ = name
    return look


# The versions that are supported, and with them the newest that was seen, which has kept some places and moved others.
_LM_EVAL, _TRANSFORMERS, _VLLM = (LIBRARIES[name].supported for name in ("lm_eval", "transformers", "vllm"))
_KEPT = ">=0.4.13,<=0.5.0.dev1"
SEAMS = (
    Seam("lm_eval", _look_of("task_manager"), _KEPT),
    Seam("lm_eval", _look_of("task_index"), _KEPT),
    Seam("lm_eval", _look_of("task_factory"), _LM_EVAL),
    Seam("lm_eval", _look_of("task_class"), _LM_EVAL),
    Seam("lm_eval", _look_of("model_class"), _LM_EVAL),
    Seam("lm_eval", _look_of("response_cache"), _KEPT),
    Seam("lm_eval", _look_of("evaluator"), _LM_EVAL),
    Seam("lm_eval", _look_of("standard_errors"), _LM_EVAL),
    Seam("lm_eval", _look_of("groups"), _KEPT),
    Seam("lm_eval", _look_of("demo_questions"), _KEPT),
    Seam("lm_eval", _look_of("hf_model"), _LM_EVAL),
    Seam("lm_eval", _look_of("vllm_model"), _LM_EVAL, beside="vllm"),
    *(Seam("transformers", look, _TRANSFORMERS) for look in _transformers.LOOKS),
    *(Seam("vllm", look, _VLLM) for look in _vllm.LOOKS),
)
"""By library; those of one that is not installed have nothing to say."""


def require(library: str) -> None:
    """Looks at the places of a library that are not known in the version installed.

    Raises:
        TaskError: names the first that has moved, and the fix.
    """
    from importlib.metadata import version

    from packaging.specifiers import SpecifierSet

    found = version(library)
    for seam in SEAMS:
        known = SpecifierSet(seam.versions).contains(found, prereleases=True)
        if (seam.library, seam.beside, known) == (library, None, False) and (moved := seam.moved()):
            place = f"{seam.name}: {moved}"
            raise TaskError(f"{library} {found} has moved a place that we build on ({place}); {fix(library)}")


def fix(library: str) -> str:
    """What to do where a place has moved, in a few words."""
    return f"use {library} {LIBRARIES[library].known} or a newer lm-eval-dispersion"
