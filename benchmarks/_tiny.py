"""A tiny random Llama and its loads, for questions of growth.

``python -m benchmarks._tiny KIND COUNT TOKENS plain|recording`` is the process that memory is read from.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks import _workload
from benchmarks._sample import Job, Prepare, measure, serve

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedTokenizerFast

HIDDEN, LAYERS, LONGEST, WORDS = 64, 2, 8192, 256


@dataclass(frozen=True)
class Load:
    """``count`` segments of ``tokens`` vectors."""

    kind: str
    count: int
    tokens: int

    def texts(self) -> list[str]:
        """Random words, one a token; a window of n vectors scores n + 1 tokens, the first after the prefix."""
        draw = random.Random(0)
        length = self.tokens + (self.kind == "rolling")
        return [" ".join(f"w{draw.randrange(WORDS)}" for _ in range(length)) for _ in range(self.count)]

    def command(self, variant: str) -> list[str]:
        """Starts the child."""
        words = (self.kind, str(self.count), str(self.tokens), variant)
        return [sys.executable, "-m", "benchmarks._tiny", *words]


def words_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<s>": 0, **{f"w{i}": i + 1 for i in range(WORDS)}}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="<s>")


@cache
def tiny() -> HFLM:
    """64 dimensions, 2 blocks, one token a word, batches of 8."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS + 1, hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=4, max_position_embeddings=LONGEST + 8, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return HFLM(pretrained=LlamaForCausalLM(config).eval(), tokenizer=words_tokenizer(), batch_size=8)


def variant(load: Load, record: bool) -> Prepare:
    """Plain lm_eval or recording; ``found`` has what making the record takes at the end, once a task."""
    lm, texts = tiny(), load.texts()

    def prepare() -> Job:
        task = _workload.rolling(texts, record) if load.kind == "rolling" else _prompts(texts, record)
        method = getattr(lm, task.instances[0].request_type)

        def report() -> dict[str, Any]:
            if not record:
                return {}
            start = time.perf_counter()
            counts = _workload.recorded(task)["counts"]
            seconds = time.perf_counter() - start
            if (counts["segments"], counts["vectors"]) != (load.count, load.count * load.tokens):
                raise RuntimeError(f"{load} was recorded as {counts}")
            return {"record": seconds}

        return Job(lambda: method(task.instances), report)

    return prepare


def _prompts(texts: list[str], record: bool) -> Any:
    config = {"output_type": "loglikelihood", "doc_to_text": "{{text}}", "doc_to_target": " w1"}
    metrics = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
    return _workload.task({**config, "metric_list": metrics}, [{"text": text} for text in texts], record)


def warm_up(load: Load) -> None:
    """A few segments of it, both ways."""
    for record in (False, True):
        measure(variant(Load(load.kind, min(8, load.count), load.tokens), record))


if __name__ == "__main__":
    kind, count, tokens, which = sys.argv[1:]
    asked = Load(kind, int(count), int(tokens))
    warm_up(asked)
    serve(variant(asked, which == "recording"))
