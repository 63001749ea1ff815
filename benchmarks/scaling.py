"""How recording grows with the number of segments and with their length, on a tiny random Llama.

Documents of one window each carry the first question. Windows end at 512 tokens, so the second is asked of
prompts of a labelled task, which are measured whole, with the same number of tokens at each length.

Memory is told twice: the resident size, which holds all but is coarse, and the heap that Python and numpy
have asked for, which is exact but does not see torch.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
from tqdm import tqdm

from benchmarks._measure import Rounds, Sampler, Spread, alternate, fresh, median
from benchmarks._sample import Job, Prepare, measure
from benchmarks._tiny import LAYERS, Load, variant, warm_up

STATES = LAYERS + 1
COUNTS, SEGMENT = (100, 1_000, 10_000), 64
LENGTHS, TOKENS = (64, 512, 2_048, 8_192), 2**17


def run(pairs: int, memory_pairs: int) -> str:
    """Both tables and what they say, as Markdown."""
    loads = [Load("rolling", count, SEGMENT) for count in COUNTS]
    loads += [Load("prompts", TOKENS // length, length) for length in LENGTHS]
    times = [_times(load, pairs) for load in loads]
    heaps = [_heap(load, True) - _heap(load, False) for load in tqdm(loads, desc="(scaling) heap", unit="load")]
    peaks = [_peaks(load, memory_pairs) for load in loads]
    lines = [
        "| segments | vectors each | plain lm_eval, µs a vector | recording adds, µs a vector: median (min to max) "
        "| noise: plain against plain | record at the end, s "
        "| plain lm_eval, resident growth, MiB | recording adds, MiB | noise | recording adds to the heap, KiB |",
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
    warm_up(load)
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
        f"- heap that recording adds, from {COUNTS[0]:,} to {COUNTS[-1]:,} segments: {segment:,.0f} bytes a segment, "
        f"of which its {STATES} values of D are {4 * STATES}",
    ]


def _exponent(loads: list[Load], times: list[Rounds], axis: str, name: str) -> float:
    """The slope of log time of all segments, or of one, against log size."""
    each = [
        median(r, name, "seconds") / (1 if axis == "count" else load.count)
        for load, r in zip(loads, times, strict=True)
    ]
    sizes = [getattr(load, axis) for load in loads]
    return float(np.polyfit(np.log(sizes), np.log(each), 1)[0])


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
