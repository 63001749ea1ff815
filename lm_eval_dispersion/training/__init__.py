"""Training with dispersion: an auxiliary loss that spreads hidden vectors (arXiv 2506.24106).

``push_away`` is the loss, a function of tensors; ``PushAway`` adds it to a trainer that there is, and logs it. Needs
torch; transformers only in that trainer.
"""

from lm_eval_dispersion.training._alternatives import dispersive, koleo, mean_cosine, uniformity
from lm_eval_dispersion.training._attach import PushAway
from lm_eval_dispersion.training._push_away import push_away

__all__ = ["PushAway", "dispersive", "koleo", "mean_cosine", "push_away", "uniformity"]
