"""GPT-2 and GPT-NeoX of three sizes, trained from scratch on those demo texts that are not evaluated."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent / "tasks"))
from texts import HELD_OUT, trained_on

CONTEXT = 512
BATCH = 2
WARM_UP = 30
LEARNING_RATE = 2e-3
STEPS = (50, 200, 600)
END = "<|endoftext|>"
# Two families, two tokenizers: what a token is differs, as it does between real families.
VOCABULARY = {"gpt2": 4096, "gpt-neox": 3072}


@dataclass(frozen=True)
class Tiny:
    """One architecture in one size."""

    family: str
    width: int
    layers: int

    def name(self, steps: int) -> str:
        """The folder's name after so many steps, which is what lm_eval writes down."""
        return f"tiny-{self.family}-{self.width}x{self.layers}-step-{steps}"


TINY = [Tiny(family, width, layers) for family in VOCABULARY for width, layers in ((64, 2), (128, 3), (192, 4))]


def train(tiny: Tiny, work: Path, steps: list[int]) -> None:
    """Saves the model after each of ``steps``."""
    # One thread: no waiting for a second one on a busy machine, and sums in the same order.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    draw = random.Random(0)
    texts = [text for corpus in HELD_OUT for text in trained_on(corpus)]
    tokenizer = _tokenizer(texts, VOCABULARY[tiny.family])
    draw.shuffle(texts)
    ids = torch.tensor([i for text in texts for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
    model = _model(tiny, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP))
    progress = tqdm(range(1, max(steps) + 1), desc=f"training {tiny.family} {tiny.width}x{tiny.layers}", leave=False)
    for step in progress:
        starts = [draw.randrange(len(ids) - CONTEXT) for _ in range(BATCH)]
        batch = torch.stack([ids[start : start + CONTEXT] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress.set_postfix(loss=f"{loss.item():.2f}")
        if step in steps:
            model.save_pretrained(work / tiny.name(step))
            tokenizer.save_pretrained(work / tiny.name(step))


def _tokenizer(texts: list[str], size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def _model(tiny: Tiny, tokenizer: Any) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

    end = tokenizer.eos_token_id
    shared = {"vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    heads = tiny.width // 32
    if tiny.family == "gpt2":
        still = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
        shape = {"n_positions": CONTEXT, "n_embd": tiny.width, "n_layer": tiny.layers, "n_head": heads}
        return GPT2LMHeadModel(GPT2Config(**shared, **shape, **still))
    shape = {
        "max_position_embeddings": CONTEXT,
        "hidden_size": tiny.width,
        "intermediate_size": 4 * tiny.width,
        "num_hidden_layers": tiny.layers,
        "num_attention_heads": heads,
    }
    return GPTNeoXForCausalLM(GPTNeoXConfig(**shared, **shape))
