"""Options that take several values, as ``--results A B C``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose repeatable options may be given once with all their values.

    Users know it so from lm_eval's own command line. Click by design has none (its options take a fixed number of
    values, or are repeated), for it could not tell the last value from a positional argument. So this is for commands
    whose repeatable options stand beside no positional ones.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's own, of a line in which each value has its option before it."""
        several = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        return super().parse_args(ctx, list(_one_each(args, several)))


def _one_each(words: Iterable[str], several: set[str]) -> Iterator[str]:
    """``--results A B`` becomes ``--results A --results B``, up to the next option."""
    option = ""
    first = False
    for word in words:
        if word.startswith("-") and word != "-":
            option, first = (word, True) if word in several else ("", False)
        elif option and not first:
            yield option
        else:
            first = False
        yield word
