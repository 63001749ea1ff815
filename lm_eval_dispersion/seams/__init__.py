"""Each place where we build on the inside of lm_eval, transformers or vLLM, with a look whether it is as we need it.

One file a library, one function a place. A look imports what the code imports and looks at what the code uses; it
imports nothing of ours, because our rooms cannot be imported where a place has moved.
"""

from lm_eval_dispersion.seams import _lm_eval, _models, _transformers, _vllm
from lm_eval_dispersion.seams._look import Moved, Seam
from lm_eval_dispersion.seams._versions import LIBRARIES, Library

__all__ = ["LIBRARIES", "SEAMS", "Library", "Moved", "Seam"]

SEAMS = (
    *(Seam("lm_eval", look) for look in _lm_eval.LOOKS),
    Seam("lm_eval", _models.hf_model),
    Seam("lm_eval", _models.vllm_model, beside="vllm"),
    *(Seam("transformers", look) for look in _transformers.LOOKS),
    *(Seam("vllm", look) for look in _vllm.LOOKS),
)
"""By library; those of one that is not installed have nothing to say."""
