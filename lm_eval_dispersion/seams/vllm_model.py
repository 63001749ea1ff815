"""``--model vllm``: token ids are handed to the engine by methods that are listened to (``capture/_vllm``)."""

from __future__ import annotations

import sys
from typing import Any

from lm_eval_dispersion.seams._look import accepts, has, uses

OFF_THE_LIMIT = 2
"""So many tokens are taken off the model's limit before rolling windows are cut."""


def _look() -> None:
    from lm_eval.models.utils import maybe_truncate
    from lm_eval.models.vllm_causallms import VLLM

    has(VLLM, "max_length", "max_gen_toks", "eot_token_id", "loglikelihood")
    accepts(VLLM.modify_gen_kwargs, 1, "eos", "default_max_gen_toks")
    accepts(maybe_truncate, 1, "max_gen_toks", "max_model_len", "side", "verbose")
    uses(VLLM.__init__, "model", "tokenizer", "data_parallel_size", "lora_request", "truncation_side")
    uses(VLLM._model_generate, "generate")
    uses(VLLM._loglikelihood_tokens, "_model_generate", "max_length", "_parse_logprobs")
    accepts(VLLM._parse_logprobs, 0, "tokens", "outputs", "ctxlen")
    uses(VLLM.loglikelihood_rolling, "tok_encode", "_loglikelihood_tokens", "max_length")
    uses(VLLM.generate_until, "tok_encode", "_model_generate", "sampling_params", "maybe_truncate")
    uses(VLLM.max_length, "_max_length")


def loaded_class() -> type | None:
    """lm_eval's class; its module cannot be imported where vLLM is not installed, and a model of it has loaded it."""
    module = sys.modules.get("lm_eval.models.vllm_causallms")
    return None if module is None else module.VLLM


def as_sent(lm: Any, tokens: list[int], gen_kwargs: dict[str, Any]) -> list[int]:
    """A prompt as ``generate_until`` cuts it to leave room for what is to be generated."""
    from lm_eval.models.utils import maybe_truncate

    _, _, room = lm.modify_gen_kwargs(dict(gen_kwargs), eos=None, default_max_gen_toks=lm.max_gen_toks)
    limits = {"max_gen_toks": room, "max_model_len": lm.max_length, "side": lm.truncation_side}
    sent, _ = maybe_truncate(tokens, **limits, verbose=False)
    return list(sent)
