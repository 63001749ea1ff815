"""``--use_cache``: our answers are kept in lm_eval's database, and what its methods keep is seen on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from lm_eval_dispersion.seams._look import accepts, uses
from lm_eval_dispersion.seams._patch import listening


def _look() -> None:
    from lm_eval.api.model import LM, CacheHook, CachingLM, hash_args

    uses(CachingLM.__init__, "lm", "set_cache_hook")
    uses(LM.__init__, "cache_hook")
    uses(CacheHook.__init__, "dbdict")
    accepts(CacheHook.add_partial, 4)
    hash_args("kind", ["text", {"window": 512}])


def model_behind(lm: Any) -> Any:
    """The model itself, which the cache stands before."""
    from lm_eval.api.model import CachingLM

    return lm.lm if isinstance(lm, CachingLM) else lm


def database_of(lm: Any) -> Any:
    """Where answers are kept, by key; None where they are not."""
    return getattr(lm.cache_hook, "dbdict", None)


def key(kind: str, arguments: Sequence[Any]) -> str:
    """Of an answer, by all that it depends on."""
    from lm_eval.api.model import hash_args

    return str(hash_args(kind, arguments))


@contextmanager
def diverted(lm: Any, hook: Any) -> Iterator[None]:
    """A model's methods keep their answers with another hook, which has what lm_eval's has, in this block."""
    stock = lm.cache_hook
    lm.cache_hook = hook
    try:
        yield
    finally:
        lm.cache_hook = stock


def before_kept(lm: Any, call: Callable[[], None]) -> AbstractContextManager[None]:
    """Calls a function whenever a model's method is about to keep an answer, in this block."""

    def keep(inner: Callable[..., None], *args: Any) -> None:
        call()
        inner(*args)

    return listening(lm.cache_hook, add_partial=keep)
