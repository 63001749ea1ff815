"""Tiny models with random weights, in folders that ``lm_eval --model hf`` loads like any other."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

END = "<|endoftext|>"


def train_tokenizer(folder: Path) -> Any:
    """A byte-level BPE tokenizer of 2,048 tokens, trained on the demo's news and code and saved in ``folder``.

    As GPT-2's, it has one special token, which no text contains and no encoding adds.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from lm_eval_dispersion.corpora import demo_code, demo_news

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (row["text"] for corpus in (demo_news, demo_code) for row in islice(corpus()["test"], 60))
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    fast.save_pretrained(folder)
    return fast


def save_tiny_llama(folder: Path, **config: Any) -> Path:
    """A Llama of two layers and 32 dimensions with random weights, always the same, and its tokenizer.

    Args:
        folder: where both are saved.
        **config: what to change in its ``LlamaConfig``.

    Returns:
        The folder, for ``pretrained=``.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(folder)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        # Above the default, with which the logits of a model this small hardly differ from each other.
        "initializer_range": 0.1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**shape | config)).save_pretrained(folder)
    return folder
