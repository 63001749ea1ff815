"""Bits per byte of runs on one text, with the standard errors that lm_eval does not give, and what lies between two.

python examples/bits_per_byte.py OUTPUT_PATH [OUTPUT_PATH], each of one run of one corpus task with --log_samples.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Documents = NDArray[np.float64]
"""[documents, 2]: the log-likelihood of each in nats, and its bytes."""


class Value(NamedTuple):
    """A number and its standard error."""

    value: float
    stderr: float


def documents(samples: Path) -> Documents:
    """What ``--log_samples`` wrote for a corpus task, in the order of the documents."""
    with samples.open(encoding="utf-8") as lines:
        rows = sorted(map(json.loads, lines), key=lambda row: int(row["doc_id"]))
    return np.array([row["bits_per_byte"] for row in rows], dtype=float)


def bits_per_byte(text: Documents) -> float:
    """As lm_eval has it: all bits over all bytes."""
    likelihood, size = text.sum(0)
    return float(-likelihood / size / math.log(2))


def over_documents(statistic: Callable[[NDArray[np.intp]], float], count: int) -> Value:
    """A statistic of chosen documents on all ``count`` of them, with the jackknife's standard error over documents."""
    every = np.arange(count)
    without = [statistic(np.delete(every, i)) for i in every]
    return Value(statistic(every), math.sqrt((count - 1) * np.var(without)))


def main(outputs: list[Path]) -> None:
    """A line a run, and one of what lies between two."""
    texts = []
    for output in outputs:
        files = list(output.rglob("samples_*.jsonl"))
        if len(files) != 1:
            raise SystemExit(f"{output} holds {len(files)} files of samples; one run with --log_samples makes one")
        texts.append(documents(files[0]))
    for output, text in zip(outputs, texts, strict=True):
        found = over_documents(lambda chosen, text=text: bits_per_byte(text[chosen]), len(text))  # type: ignore[misc]
        print(f"{output}: {found.value:.3f} ± {found.stderr:.3f} bits per byte, {len(text)} documents")
    if len(texts) == 2:
        one, other = texts
        if not np.array_equal(one[:, 1], other[:, 1]):
            raise SystemExit("the two runs are not of the same documents")
        # Document by document: what makes a document hard is hard for both models, and cancels.
        found = over_documents(lambda chosen: bits_per_byte(one[chosen]) - bits_per_byte(other[chosen]), len(one))
        print(f"{outputs[0]} minus {outputs[1]}: {found.value:+.3f} ± {found.stderr:.3f}")


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    main([Path(argument) for argument in sys.argv[1:]])
