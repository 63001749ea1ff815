"""Has our request types attached; models pass requests and tokens on by methods that are listened to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from lm_eval.api.model import LM, TemplateLM

from lm_eval_dispersion.seams._look import accepts, has, uses
from lm_eval_dispersion.seams._patch import listening

# Which class passes what on by which of them, `hf_model` and `vllm_model` look at.
_METHODS = {
    "encode": "tok_encode",
    "score": "_loglikelihood_tokens",
    "generate": "_model_generate",
    # Of HFLM alone:
    "encode_batch": "tok_batch_encode",
    "forward": "_model_call",
    "probe": "_detect_batch_size",
    "row": "_select_cont_toks",
    # Of VLLM alone:
    "parse": "_parse_logprobs",
}


def _look() -> None:
    accepts(LM.gather_object, 2, "dst")
    has(TemplateLM, "tok_encode", "_loglikelihood_tokens")
    uses(TemplateLM.loglikelihood, "_loglikelihood_tokens")


def add_request_type(name: str, method: Callable[[LM, list[Any]], list[Any]]) -> None:
    """Gives every model class a method that lm_eval's evaluator calls with the requests of that type."""
    setattr(LM, name, method)


def listening_to(lm: LM, **listeners: Callable[..., Any]) -> AbstractContextManager[None]:
    """Calls ``listener(method, *args)`` in place of a model's method, by our name of it, in this block."""
    return listening(lm, **{_METHODS[name]: listener for name, listener in listeners.items()})


@contextmanager
def cut_at(lm: Any, max_length: int) -> Iterator[None]:
    """lm_eval's models cut rolling windows at their limit, which is another one in this block."""
    stock_limit = lm._max_length
    lm._max_length = max_length
    try:
        yield
    finally:
        lm._max_length = stock_limit
