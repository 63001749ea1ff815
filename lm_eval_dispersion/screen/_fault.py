"""Why a checkpoint cannot be screened."""

from __future__ import annotations


class Unscreenable(Exception):
    """One line on what is wrong with a checkpoint and what helps, without its name; the others go on."""
