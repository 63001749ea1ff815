"""Standing before a function of somebody else's: on one object for the length of a block, or on a class for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any


def stand_before(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Calls ``function(stock, *args)`` in place of a class's or module's ``name(*args)``; once, however often asked."""
    stock = getattr(owner, name)
    if getattr(stock, "__module__", None) == __name__:
        return

    @wraps(stock)
    def before(*args: Any, **kwargs: Any) -> Any:
        return function(stock, *args, **kwargs)

    before.__module__ = __name__
    setattr(owner, name, staticmethod(before) if isinstance(vars(owner).get(name), staticmethod) else before)


@contextmanager
def listening(thing: Any, **listeners: Callable[..., Any]) -> Iterator[None]:
    """Calls ``listener(method, *args)`` in place of ``thing.method(*args)``, on this object and in this block.

    It looks like the method to whoever asks for its signature (``generate`` of transformers does).
    """
    inner = {name: getattr(thing, name) for name in listeners}
    shadowed = {name: vars(thing)[name] for name in listeners if name in vars(thing)}

    def bound(name: str) -> Callable[..., Any]:
        return wraps(inner[name])(lambda *args, **kwargs: listeners[name](inner[name], *args, **kwargs))

    for name in listeners:
        setattr(thing, name, bound(name))
    try:
        yield
    finally:
        for name in listeners:
            if name in shadowed:
                setattr(thing, name, shadowed[name])
            else:
                delattr(thing, name)
