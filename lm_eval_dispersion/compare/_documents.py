"""What each document got, from a corpus task's logged samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion._errors import TaskError, one_line
from lm_eval_dispersion.compare._estimates import Estimate, Floats, ratio
from lm_eval_dispersion.runs import number, read_samples

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """Of one run, by text: copies of a document are one, since they are no independent evidence."""

    hashes: NDArray[np.str_]
    """[documents], lm_eval's ``doc_hash``, sorted."""
    bits: Floats
    """[documents], negative log-likelihood in bits; NaN where it is not finite."""
    bytes: Floats
    """[documents], of the text in UTF-8, as lm_eval counted them."""
    of_window: Integers
    """[windows], the document of each window, ascending."""
    vectors: Integers
    """[windows]"""
    dispersion: Floats
    """[windows], at the last hidden state; NaN where there is none."""

    def bits_per_byte(self) -> Estimate | None:
        """As lm_eval has it, all bits over all bytes; None where a document has no finite number, or none has text."""
        has = self.bytes > 0
        if not has.any() or not np.isfinite(self.bits).all():
            return None
        return ratio(self.bits[has], self.bytes[has])


@dataclass
class _Text:
    """What all copies of one text got."""

    bits: float = 0.0
    bytes: int = 0
    windows: list[tuple[int, float]] = field(default_factory=list)
    """(vectors, D)"""

    def add(self, sample: dict[str, Any]) -> None:
        loglikelihood, size = sample["bits_per_byte"]
        found = number(loglikelihood)
        self.bits += math.nan if found is None else -found / math.log(2)
        self.bytes += int(size)
        measured = sample.get("dispersion") or {}
        self.windows += [(int(w["vectors"]), _last(w["layers"])) for w in measured.get("windows", [])]


def read_documents(samples: Path) -> Documents:
    """What ``--log_samples`` wrote for a corpus task.

    Raises:
        TaskError: for a file that is none of a corpus task, in one line.
    """
    texts: dict[str, _Text] = {}
    for sample in read_samples(samples):
        try:
            texts.setdefault(str(sample["doc_hash"]), _Text()).add(sample)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TaskError(f"{samples}: no samples of a corpus task ({one_line(error)})") from None
    ordered = sorted(texts.items())
    windows = [(i, *window) for i, (_, text) in enumerate(ordered) for window in text.windows]
    return Documents(
        hashes=np.array([key for key, _ in ordered], dtype=np.str_),
        bits=np.array([text.bits for _, text in ordered], dtype=float),
        bytes=np.array([text.bytes for _, text in ordered], dtype=float),
        of_window=np.array([w[0] for w in windows], dtype=np.int64),
        vectors=np.array([w[1] for w in windows], dtype=np.int64),
        dispersion=np.array([w[2] for w in windows], dtype=float),
    )


def _last(layers: list[Any] | None) -> float:
    found = number(layers[-1]) if layers else None
    return math.nan if found is None else found


def bits_apart(one: Documents, other: Documents) -> Estimate | None:
    """Bits per byte of the other minus the one's, over the documents of both with the same bytes; None without any."""
    _, i, j = np.intersect1d(one.hashes, other.hashes, assume_unique=True, return_indices=True)
    difference = other.bits[j] - one.bits[i]
    kept = np.isfinite(difference) & (one.bytes[i] == other.bytes[j]) & (one.bytes[i] > 0)
    return ratio(difference[kept], one.bytes[i][kept]) if kept.any() else None


def dispersion_apart(one: Documents, other: Documents) -> Estimate | None:
    """D (within, last hidden state) of the other minus the one's, over windows that are the same in both.

    As the headline D it is a mean over windows; its error is over documents. None without a window.
    """
    common, i, j = np.intersect1d(one.hashes, other.hashes, assume_unique=True, return_indices=True)
    n = len(common)
    a, b = _windows(one, i), _windows(other, j)
    # Whole documents go where the two have not the same windows, so that what is left stands in the same order.
    alike = np.bincount(a[0], minlength=n) == np.bincount(b[0], minlength=n)
    a, b = ([part[alike[w[0]]] for part in w] for w in (a, b))
    difference = b[2] - a[2]
    kept = np.isfinite(difference) & (a[1] == b[1])
    sizes = np.bincount(a[0][kept], minlength=n).astype(float)
    sums = np.bincount(a[0][kept], weights=difference[kept], minlength=n).astype(float)
    return ratio(sums[sizes > 0], sizes[sizes > 0]) if sizes.any() else None


def _windows(of: Documents, chosen: Integers) -> list[NDArray[Any]]:
    """(number of the document among those chosen, vectors, D) of their windows."""
    place = np.full(len(of.hashes), -1)
    place[chosen] = np.arange(len(chosen))
    document = place[of.of_window]
    kept = document >= 0
    return [document[kept], of.vectors[kept], of.dispersion[kept]]
