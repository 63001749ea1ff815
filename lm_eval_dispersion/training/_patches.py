"""Attributes of one object replaced, and put back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_ABSENT = object()


class Patches:
    """On the instance alone, so that its class, and what others derive from it, stay as they are."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._undone = False
        self._before: dict[str, tuple[Any, Any]] = {}

    def replace(self, name: str, new: Any) -> None:
        """Sets an attribute."""
        self._before[name] = vars(self._owner).get(name, _ABSENT), new
        setattr(self._owner, name, new)

    def wrap(self, name: str, around: Callable[..., Any]) -> None:
        """Has a method called as ``around(method, ...)``."""
        stock = getattr(self._owner, name)

        @functools.wraps(stock)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return stock(*args, **kwargs) if self._undone else around(stock, *args, **kwargs)

        self.replace(name, wrapped)

    def undo(self) -> None:
        """Puts all back. What another one has wrapped since stays, and passes through."""
        self._undone = True
        for name, (before, ours) in self._before.items():
            if vars(self._owner).get(name) is not ours:
                continue
            if before is _ABSENT:
                delattr(self._owner, name)
            else:
                setattr(self._owner, name, before)
