"""Which checkpoint, without running one: G over rows of the output projection, read in place."""

from lm_eval_dispersion.screen._gap import between, gap, within

__all__ = ["between", "gap", "within"]
