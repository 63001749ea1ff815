"""Alternation, ratios, and variants in processes of their own."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from benchmarks._sample import Sample

MIB = 2**20
ROOT = Path(__file__).parent.parent
Sampler = Callable[[], Sample]
Rounds = dict[str, list[Sample]]


def alternate(samplers: dict[str, Sampler], rounds: int, label: str) -> Rounds:
    """Samples each variant once a round, in every order in turn, so that drift and neighbours fall on all alike."""
    orders = list(permutations(samplers))
    samples: Rounds = {name: [] for name in samplers}
    with tqdm(total=rounds * len(samplers), desc=label, unit="run") as bar:
        for number in range(rounds):
            for name in orders[number % len(orders)]:
                bar.set_postfix_str(name)
                samples[name].append(samplers[name]())
                bar.update()
    return samples


@dataclass(frozen=True)
class Spread:
    """A figure over rounds."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        digits = 3 if self.median < 10 else 1
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    part: str
    what: str
    quantity: str
    ratio: Spread
    noise: Spread
    """The baseline against itself, in the same alternation."""
    baseline: str
    """The baseline's median, in its unit."""
    target: float | None = None
    """The ratio is to be at most this."""

    @property
    def error(self) -> float:
        """How far noise may move the median: two standard errors of a median of so many pairs, or what it shows."""
        values = self.noise.values
        if len(values) < 2:
            return math.inf
        return max(2 * 1.25 * statistics.stdev(values) / len(values) ** 0.5, abs(self.noise.median - 1))

    @property
    def verdict(self) -> str:
        """Against the target; no verdict where the noise is larger than what the target allows."""
        if self.target is None:
            return ""
        if self.ratio.median - self.target > self.error:
            return "missed"
        if self.error > abs(self.target - 1):
            return "undecided: too much noise"
        return "met" if self.ratio.median <= self.target else "within noise"

    def row(self) -> str:
        """As Markdown."""
        target = "" if self.target is None else f"≤ {self.target:g}"
        cells = (self.part, self.what, self.quantity, self.ratio, len(self.ratio.values), self.noise)
        more = (f"{self.error:.3f}", self.baseline, target, self.verdict)
        return "| " + " | ".join(map(str, (*cells, *more))) + " |"


HEADER = (
    "| part | comparison | quantity | ratio: median (min to max) | pairs | noise: same against same "
    "| noise of the median ± | denominator | target | verdict |\n|---|---|---|---|---|---|---|---|---|---|"
)


def ratio(rounds: Rounds, above: str, below: str, field: str) -> Spread:
    """Pair by pair."""
    pairs = zip(rounds[above], rounds[below], strict=True)
    return Spread([getattr(a, field) / getattr(b, field) for a, b in pairs])


def median(rounds: Rounds, name: str, field: str) -> float:
    """Of one variant."""
    return float(statistics.median(getattr(sample, field) for sample in rounds[name]))


def apart(rounds: Rounds, above: str, below: str) -> float:
    """How far the log-likelihoods of two variants lie apart at most, in nats."""
    pairs = zip(rounds[above], rounds[below], strict=True)
    found = ((a.found["loglikelihoods"], b.found["loglikelihoods"]) for a, b in pairs)
    return max(abs(x - y) for a, b in found for x, y in zip(a, b, strict=True))


def written(rounds: Rounds, name: str, count: int) -> str:
    """Bytes a window; how often a library tells its standard error something is in it, a few bytes."""
    if any(sample.written is None for sample in rounds[name]):
        return "unknown"
    return f"{median(rounds, name, 'written') / count:,.0f}"


class Worker:
    """A variant in a process of its own, which loads once and gives a sample whenever asked."""

    def __init__(self, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        self._command, self._env = list(command), env

    def __enter__(self) -> Worker:
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True, cwd=ROOT, env=self._env,
        )  # fmt: skip
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def sample(self, name: str = "") -> Sample:
        """Runs it once, or another that it has under a name."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return Sample(**self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            tail = "".join(self._log.readlines()[-15:])
            raise RuntimeError(f"{' '.join(self._command)} ended with {self._process.returncode}:\n{tail}")
        return json.loads(line)


def fresh(command: Sequence[str], env: dict[str, str] | None = None) -> Sampler:
    """Each sample in a new process, which is what a peak of memory needs."""

    def sampler() -> Sample:
        with Worker(command, env) as worker:
            return worker.sample()

    return sampler
