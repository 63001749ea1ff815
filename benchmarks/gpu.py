"""``python -m benchmarks.gpu``: what recording costs on an accelerator, by models made there with random weights.

Needs no hub, no text and no file of weights: Llama-shaped models in bfloat16, batches of 1 and of 8 windows of 512
tokens. Prints time and peak device memory against plain lm_eval, then what one batch does on the device.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks._device import activity
from benchmarks._measure import HEADER, MIB, Figure, Rounds, Sampler, alternate, apart, median, ratio
from benchmarks._sample import Prepare, Sample, measure
from benchmarks._setup import Variant
from benchmarks._tiny import Load, words_tokenizer
from benchmarks.hidden_states import output_hidden_states
from benchmarks.recording import recording, stock

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

WINDOW, BATCHES, TARGET = 512, (1, 8), 1.02
# hidden size, size inside the MLP, blocks, attention heads, key-value heads, vocabulary, tied embeddings
SHAPES = {
    "tiny": (64, 128, 2, 4, 2, 512, True),
    "0.1B": (576, 1536, 30, 9, 3, 49152, True),  # SmolLM2-135M
    "1B": (2048, 8192, 16, 32, 8, 128256, True),  # Llama 3.2 1B
    "8B": (4096, 14336, 32, 32, 8, 128256, False),  # Llama 3.1 8B
}


def make(size: str, device: str) -> HFLM:
    """lm_eval's own model object around random weights, which are drawn on the device."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, LlamaConfig

    hidden, inner, blocks, heads, kv_heads, vocabulary, tied = SHAPES[size]
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=blocks, num_attention_heads=heads,
        num_key_value_heads=kv_heads, vocab_size=vocabulary, tie_word_embeddings=tied,
        max_position_embeddings=2 * WINDOW, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return HFLM(pretrained=model.eval(), tokenizer=words_tokenizer(), max_length=WINDOW)


@dataclass
class Bench:
    """One model at one batch size."""

    lm: HFLM
    size: str
    batch: int
    pairs: int
    seconds: float

    def __post_init__(self) -> None:
        self.lm.batch_size_per_gpu = self.batch
        self.name = f"{self.size}, {self.batch} x {WINDOW}"

    def figures(self) -> Iterator[Figure | str]:
        """Time and memory, and whether the answers are the same."""
        for variant in (stock, recording):  # what a first pass sets up
            measure(self._prepare(variant, 2))
        few = 4
        batch_seconds = measure(self._prepare(stock, few)).seconds / few
        batches = max(2, round(self.seconds / batch_seconds))
        variants = {"stock": stock, "again": stock, "recording": recording}
        samplers = {name: self._sampler(variant, batches) for name, variant in variants.items()}
        rounds = alternate(samplers, self.pairs, self.name)
        once = self._once()
        rounds["recording"] = [replace(sample, seconds=sample.seconds - once) for sample in rounds["recording"]]
        plain = f"{1000 * median(rounds, 'stock', 'seconds') / batches:.2f} ms a batch"
        yield self._figure(rounds, "seconds", "time", plain)
        yield self._figure(rounds, "peak", "peak memory", f"{median(rounds, 'stock', 'peak') / MIB:.0f} MiB")
        yield f"{self.name}: {batches} batches a call; {_answers(rounds)}; once a call {1000 * once:.0f} ms"

    def _prepare(self, variant: Variant, batches: int) -> Prepare:
        # The prefix takes the place of the last word, which is scored but not read.
        return variant(self.lm, Load("rolling", batches * self.batch, WINDOW - 1).texts())

    def _sampler(self, variant: Variant, batches: int) -> Sampler:
        import torch

        prepare = self._prepare(variant, batches)

        def sampler() -> Sample:
            if self.lm.device.type != "cuda":
                return measure(prepare)
            torch.cuda.reset_peak_memory_stats()
            return replace(measure(prepare), peak=torch.cuda.max_memory_allocated())

        return sampler

    def _once(self) -> float:
        """Seconds that recording takes once a call, to describe model and tokenizer; a real run is a longer call."""
        from lm_eval_dispersion.capture import capture_for

        def seconds() -> float:
            start = time.perf_counter()
            capture_for(self.lm).describe()
            return time.perf_counter() - start

        return statistics.median(seconds() for _ in range(5))

    def _figure(self, rounds: Rounds, of: str, quantity: str, baseline: str) -> Figure:
        measured, noise = ratio(rounds, "recording", "stock", of), ratio(rounds, "again", "stock", of)
        return Figure(self.name, "recording / plain lm_eval", quantity, measured, noise, baseline, TARGET)

    def agreement(self) -> str:
        """How far D is from the closed form on all states at once."""
        ours, theirs = (
            measure(self._prepare(variant, 1)).found["within"] for variant in (recording, output_hidden_states)
        )
        off = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        return f"{self.name}: D of all {len(ours)} states agrees with `output_hidden_states=True` to {off:.0e}"

    def batch_activity(self) -> str:
        """A row below ``ACTIVITY``."""
        (plain, plain_busy), (ours, busy) = (activity(self._prepare(v, 1)().work) for v in (stock, recording))
        states = SHAPES[self.size][2] + 1
        cells = [f"{plain[kind]}, {ours[kind]}" for kind in ("kernel", "DtoH", "HtoD")]
        cells.insert(1, f"{(ours['kernel'] - plain['kernel']) / states:.1f}")
        cells += [f"{plain_busy:.2f}, {busy:.2f}", f"{busy / plain_busy:.3f}"]
        return f"| {self.name} | {states} | " + " | ".join(cells) + " |"


ACTIVITY = (
    "| batch | hidden states | kernels: plain, recording | added a state | copies device to host | host to device "
    "| ms busy | ratio |\n|---|---|---|---|---|---|---|---|"
)


def _answers(rounds: Rounds) -> str:
    recorded, again = apart(rounds, "recording", "stock"), apart(rounds, "again", "stock")
    if recorded == again == 0:
        return "log-likelihoods with and without recording are bit-identical"
    return f"log-likelihoods differ by up to {recorded:.1e} with recording, by {again:.1e} between plain runs"


def _machine(device: str) -> str:
    import torch

    names = ("lm_eval", "torch", "transformers", "lm-eval-dispersion")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    card = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores, {platform.machine()}"
    return f"{date.today()}; {card}; Python {platform.python_version()}, {versions}; random weights, bfloat16"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    parser.add_argument("--pairs", type=int, default=12, help="rounds of each timing (default 12)")
    parser.add_argument("--seconds", type=float, default=0.6, help="of plain lm_eval a call, about (default 0.6)")
    parser.add_argument("--sizes", help="of models (default: tiny on the CPU, else 0.1B,1B,8B)")
    arguments = parser.parse_args(given)
    arguments.sizes = (arguments.sizes or ("tiny" if arguments.device == "cpu" else "0.1B,1B,8B")).split(",")
    if unknown := set(arguments.sizes) - set(SHAPES):
        parser.error(f"--sizes: no size {sorted(unknown)[0]!r}; there are {', '.join(SHAPES)}")
    if arguments.pairs < 1:
        parser.error("--pairs is at least 1")
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU; --device cpu runs the same on a tiny model")
    return arguments


def main(given: Sequence[str] | None = None) -> None:
    """Prints Markdown, each line when it is measured. Arguments are the command line's unless given."""
    start = time.perf_counter()
    arguments = _arguments(given)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import torch

    print(f"{_machine(arguments.device)}\n\n{HEADER}", flush=True)
    notes: list[str] = []
    rows: list[str] = []
    for size in arguments.sizes:
        lm = make(size, arguments.device)
        for batch in BATCHES:
            bench = Bench(lm, size, batch, arguments.pairs, arguments.seconds)
            for said in bench.figures():
                if isinstance(said, str):
                    notes.append(said)
                else:
                    print(said.row(), flush=True)
            notes.append(bench.agreement())
            if arguments.device == "cuda":
                rows.append(bench.batch_activity())
        del lm, bench
        gc.collect()
        if arguments.device == "cuda":
            torch.cuda.empty_cache()
    if rows:
        print("\n" + "\n".join((ACTIVITY, *rows)))
    print("\n" + "\n".join(f"- {note}" for note in notes) + f"\n\n{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
