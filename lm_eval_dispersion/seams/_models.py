"""lm_eval's models of the two engines, whose own methods are listened to during a request call (``capture/``)."""

from __future__ import annotations

from lm_eval_dispersion.seams._look import accepts, has, uses


def hf_model() -> None:
    """``--model hf``: requests and rows of forward passes are told apart by the methods that pass them on."""
    from lm_eval.models.huggingface import HFLM

    has(HFLM, "model", "tokenizer", "max_length", "eot_token_id", "world_size", "gather_object")
    has(HFLM, "loglikelihood", "_model_generate", "_detect_batch_size")
    accepts(HFLM._model_call, 2)
    accepts(HFLM.tok_batch_encode, 2, "left_truncate_len", "truncation")
    uses(HFLM._loglikelihood_tokens, "_model_call", "max_length", "_select_cont_toks")
    accepts(HFLM._select_cont_toks, 2, "contlen", "inplen")
    uses(HFLM.loglikelihood_rolling, "tok_encode", "_loglikelihood_tokens", "max_length", "cache_hook")
    uses(HFLM.generate_until, "tok_batch_encode", "_model_generate", "context", "attention_mask")
    uses(HFLM.max_length, "_max_length")


def vllm_model() -> None:
    """``--model vllm``: token ids are handed to the engine by methods that are listened to."""
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
