"""``--model hf``: requests and rows of passes are told apart by the methods that pass them on (``capture/_hf``)."""

from __future__ import annotations

from lm_eval.models.huggingface import HFLM

from lm_eval_dispersion.seams._look import accepts, has, uses


def _look() -> None:
    has(HFLM, "model", "tokenizer", "max_length", "eot_token_id", "world_size", "gather_object")
    has(HFLM, "loglikelihood", "_model_generate", "_detect_batch_size")
    accepts(HFLM._model_call, 2)
    accepts(HFLM.tok_batch_encode, 2, "left_truncate_len", "truncation")
    uses(HFLM._loglikelihood_tokens, "_model_call", "max_length", "_select_cont_toks")
    accepts(HFLM._select_cont_toks, 2, "contlen", "inplen")
    uses(HFLM.loglikelihood_rolling, "tok_encode", "_loglikelihood_tokens", "max_length", "cache_hook")
    uses(HFLM.generate_until, "tok_batch_encode", "_model_generate", "context", "attention_mask")
    uses(HFLM.max_length, "_max_length")
