"""What a look is made of."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from types import CodeType
from typing import Any


class Moved(Exception):
    """What is no longer as we need it, in a few words."""


@dataclass(frozen=True)
class Seam:
    """One place of theirs that we build on."""

    library: str
    look: Callable[[], None]
    """Raises where it is not as we need it."""
    versions: str
    """Of the library, as pip takes them: those in which it is known to be as we need it."""
    beside: str | None = None
    """Another library without which there is nothing to look at."""

    @property
    def name(self) -> str:
        """A few words."""
        return self.look.__name__.replace("_", " ")

    def moved(self) -> str | None:
        """What is not as we need it, in one line; None where all is well. It is looked at whatever the version."""
        try:
            with silence():
                self.look()
        except Moved as error:
            return str(error)
        except Exception as error:  # another library's import and code, which may fail in any way
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return None


@contextmanager
def silence() -> Iterator[None]:
    """Other libraries' progress bars, warnings and logs would stand between our lines."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(disabled)


def has(thing: Any, *names: str) -> None:
    """Raises Moved where a class, module or object lacks one of the attributes."""
    for name in names:
        if not hasattr(thing, name):
            raise Moved(f"{_called(thing)} has no {name}")


def declares(kind: type, *fields: str) -> None:
    """Raises Moved where a dataclass, named tuple or annotated class lacks one of the fields."""
    known = {field for base in kind.__mro__ for field in vars(base).get("__annotations__", ())}
    for field in fields:
        if field not in known:
            raise Moved(f"{_called(kind)} has no field {field}")


def accepts(function: Any, positional: int, *keywords: str) -> None:
    """Raises Moved where a function cannot be called with so many positional arguments and these keywords."""
    try:
        inspect.signature(function).bind_partial(*[None] * positional, **dict.fromkeys(keywords))
    except TypeError as error:
        raise Moved(f"{_called(function)} cannot be called as we do: {error}") from None


def uses(function: Any, *names: str) -> None:
    """Raises Moved where a function's own code does not use a name: calls a method, reads an attribute."""
    function = function.fget if isinstance(function, property) else function
    known = set(_names(inspect.unwrap(function).__code__))
    for name in names:
        if name not in known:
            raise Moved(f"{_called(function)} no longer uses {name}")


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, tuple):  # the names of keyword arguments
            yield from (name for name in constant if isinstance(name, str))


def _called(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__name__)
