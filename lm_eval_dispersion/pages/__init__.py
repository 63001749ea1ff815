"""One HTML page that opens from a file: no script of other people's, no network, light and dark.

A command has a template of its own beside ``base.html.j2``. Text is escaped; what is drawn is inline SVG by the macros
of ``draw.html.j2``.
"""

from lm_eval_dispersion.pages._page import render, write_beside

__all__ = ["render", "write_beside"]
