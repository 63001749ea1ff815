"""What the captures of all engines share: listening to lm_eval's methods, the prefix that counts nowhere, a voice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from lm_eval_dispersion.capture._protocol import AttributionError

# Below lm_eval's own, whose lines its command line shows from INFO on; of others it shows warnings alone.
logger = logging.getLogger("lm_eval.dispersion")


@contextmanager
def listening(lm: Any, **listeners: Callable[..., Any]) -> Iterator[None]:
    """Calls ``listener(method, *args)`` in place of ``lm.method(*args)``, on this object and in this block.

    It looks like the method to whoever asks for its signature (``generate`` of transformers does).
    """
    inner = {name: getattr(lm, name) for name in listeners}
    shadowed = {name: vars(lm)[name] for name in listeners if name in vars(lm)}

    def bound(name: str) -> Callable[..., Any]:
        return wraps(inner[name])(lambda *args, **kwargs: listeners[name](inner[name], *args, **kwargs))

    for name in listeners:
        setattr(lm, name, bound(name))
    try:
        yield
    finally:
        for name in listeners:
            if name in shadowed:
                setattr(lm, name, shadowed[name])
            else:
                delattr(lm, name)


def require_all(awaited: dict[Any, Any]) -> None:
    """Raises AttributionError where an input is still waited for."""
    if awaited:
        raise AttributionError(
            f"{len(awaited)} inputs were never seen in a forward pass: nothing is recorded rather than guessed "
            "(does this model class override lm_eval's batching?)"
        )


def prefix_tokens(lm: Any) -> set[int]:
    """The tokens that lm_eval, or a tokenizer by itself, puts before a text."""
    special = (lm.eot_token_id, lm.tokenizer.bos_token_id, lm.tokenizer.eos_token_id)
    return {token for token in special if token is not None}


def prefix_length(prefixes: set[int], tokens: list[int]) -> int:
    """How many BOS/EOT tokens lead: the one lm_eval prepends and the one a tokenizer adds by itself."""
    return next((i for i, token in enumerate(tokens) if token not in prefixes), len(tokens))
