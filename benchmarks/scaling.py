"""How recording grows with the number of segments and with their length, on a tiny random Llama.

Documents of one window each carry the first question. Windows end at 512 tokens, so the second is asked of
prompts of a labelled task, which are measured whole, with the same number of tokens at each length.
``python -m benchmarks.scaling KIND COUNT TOKENS plain|recording`` is the child that memory is read from.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks import _workload
from benchmarks._measure import Rounds, Sampler, Spread, alternate, fresh, median
from benchmarks._sample import Job, Prepare, measure, serve

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

HIDDEN, LAYERS, LONGEST, WORDS = 64, 2, 8192, 256
STATES = LAYERS + 1
COUNTS, SEGMENT = (100, 1_000, 10_000), 64
LENGTHS, TOKENS = (64, 512, 2_048, 8_192), 2**17


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
        return [sys.executable, "-m", "benchmarks.scaling", *words]


@cache
def tiny() -> HFLM:
    """64 dimensions, 2 blocks, one token a word, batches of 8."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {"<s>": 0, **{f"w{i}": i + 1 for i in range(WORDS)}}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="<s>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=4, max_position_embeddings=LONGEST + 8, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return HFLM(pretrained=LlamaForCausalLM(config).eval(), tokenizer=tokenizer, batch_size=8)


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


def _heap(load: Load, record: bool) -> int:
    """The peak of Python's and numpy's memory in a run, in bytes: exact, but blind to torch's."""
    prepare = variant(load, record)
    peaks: list[int] = []

    def traced() -> Job:
        job = prepare()

        def work() -> None:
            tracemalloc.start()
            job.work()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

        return Job(work, dict)

    measure(traced)
    return peaks[0]


def _prompts(texts: list[str], record: bool) -> Any:
    config = {"output_type": "loglikelihood", "doc_to_text": "{{text}}", "doc_to_target": " w1"}
    metrics = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
    return _workload.task({**config, "metric_list": metrics}, [{"text": text} for text in texts], record)


def run(pairs: int, memory_pairs: int) -> str:
    """Both tables and what they say, as Markdown."""
    loads = [Load("rolling", count, SEGMENT) for count in COUNTS]
    loads += [Load("prompts", TOKENS // length, length) for length in LENGTHS]
    times = [_times(load, pairs) for load in loads]
    heaps = [_heap(load, True) - _heap(load, False) for load in tqdm(loads, desc="(scaling) heap", unit="load")]
    peaks = [_peaks(load, memory_pairs) for load in loads]
    lines = [
        "| segments | vectors each | plain lm_eval, µs a vector | recording adds, µs a vector: median (min to max) "
        "| noise: plain against plain | record at the end, s | plain: resident growth, MiB | recording adds, MiB | noise "
        "| recording adds to the heap, KiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for load, spent, grown, heap in zip(loads, times, peaks, heaps, strict=True):
        vectors = load.count * load.tokens
        cells = (
            f"{load.count:,} {'windows' if load.kind == 'rolling' else 'prompts'}", f"{load.tokens:,}",
            f"{1e6 * median(spent, 'plain', 'seconds') / vectors:.2f}",
            _difference(spent, "recording", "seconds", 1e6 / vectors),
            _difference(spent, "again", "seconds", 1e6 / vectors),
            f"{np.median([s.found['record'] for s in spent['recording']]):.2f}",
            f"{median(grown, 'plain', 'growth') / 2**20:.1f}",
            _difference(grown, "recording", "growth", 2**-20), _difference(grown, "again", "growth", 2**-20),
            f"{heap / 1024:,.0f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, "", *_says(loads, times, heaps)])


def _times(load: Load, pairs: int) -> Rounds:
    prepared = {"plain": variant(load, False), "again": variant(load, False), "recording": variant(load, True)}
    small = Load(load.kind, min(8, load.count), load.tokens)
    for record in (False, True):
        measure(variant(small, record))
    samplers: dict[str, Sampler] = {name: _sampler(prepare) for name, prepare in prepared.items()}
    return alternate(samplers, pairs, f"(scaling) {load.count} x {load.tokens} time")


def _sampler(prepare: Prepare) -> Sampler:
    return lambda: measure(prepare)


def _peaks(load: Load, pairs: int) -> Rounds:
    names = {"plain": "plain", "again": "plain", "recording": "recording"}
    samplers = {name: fresh(load.command(value)) for name, value in names.items()}
    return alternate(samplers, pairs, f"(scaling) {load.count} x {load.tokens} memory")


def _difference(rounds: Rounds, name: str, field: str, scale: float) -> Spread:
    pairs = zip(rounds[name], rounds["plain"], strict=True)
    return Spread([scale * (getattr(a, field) - getattr(b, field)) for a, b in pairs])


def _says(loads: list[Load], times: list[Rounds], heaps: list[int]) -> list[str]:
    n = len(COUNTS)
    (segments, plain_segments), (tokens, plain_tokens) = (
        [_exponent(loads[part], times[part], axis, name) for name in ("recording", "plain")]
        for part, axis in ((slice(n), "count"), (slice(n, None), "tokens"))
    )
    segment = (heaps[n - 1] - heaps[0]) / (COUNTS[-1] - COUNTS[0])
    return [
        f"- time with recording ~ segments^{segments:.2f} (plain lm_eval: {plain_segments:.2f}), "
        f"{COUNTS[0]:,} to {COUNTS[-1]:,} segments; 1 is linear",
        f"- time of a segment with recording ~ tokens^{tokens:.2f} (plain lm_eval: {plain_tokens:.2f}, attention "
        f"included), {LENGTHS[0]:,} to {LENGTHS[-1]:,} tokens",
        f"- heap that recording adds, from {COUNTS[0]:,} to {COUNTS[-1]:,} segments: {segment:,.0f} bytes a segment, of "
        f"which its {STATES} values of D are {4 * STATES}",
    ]


def _exponent(loads: list[Load], times: list[Rounds], axis: str, name: str) -> float:
    """The slope of log time of all segments, or of one, against log size."""
    each = [
        median(r, name, "seconds") / (1 if axis == "count" else load.count)
        for load, r in zip(loads, times, strict=True)
    ]
    sizes = [getattr(load, axis) for load in loads]
    return float(np.polyfit(np.log(sizes), np.log(each), 1)[0])


if __name__ == "__main__":
    kind, count, tokens, which = sys.argv[1:]
    load = Load(kind, int(count), int(tokens))
    for record in (False, True):
        measure(variant(Load(kind, min(8, load.count), load.tokens), record))
    serve(variant(load, which == "recording"))
