"""The texts of the push-away example, in windows of tokens: those of the screen's truth test, split once more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sizes import SETTINGS, Plan

sys.path.append(str(Path(__file__).resolve().parents[1] / "screen_truth"))
from mixtures import mixture, read_texts, train_tokenizer, windows

Ids = NDArray[np.int64]


class Windows(NamedTuple):
    """[windows, context] each; no article and no package of code is in two of them."""

    prose: Ids
    code: Ids
    validation_prose: Ids
    validation_code: Ids
    test_prose: Ids
    test_code: Ids

    def held_out(self, setting: str, judged: bool) -> dict[str, Ids]:
        """Text -> what a run is measured on."""
        part = "test" if judged else "validation"
        return {text: getattr(self, f"{part}_{text}") for text in SETTINGS[setting]}

    def rows(self, setting: str, count: int, seed: int) -> list[dict[str, Any]]:
        """What a run sees, in this order: rows of a trainer's dataset, with their domain (0 prose, 1 code)."""
        labelled = (
            np.pad(ids, ((0, 0), (1, 0)), constant_values=label) for ids, label in ((self.code, 1), (self.prose, 0))
        )
        share = 100 * ("code" in SETTINGS[setting]) // len(SETTINGS[setting])
        drawn = mixture(*labelled, count, share, seed)
        return [{"input_ids": row[1:], "labels": row[1:], "domain": int(row[0])} for row in drawn]


def prepare(plan: Plan, out: Path) -> None:
    """Writes OUT/windows.npz, where it is not there."""
    file = out / "windows.npz"
    if file.is_file():
        return
    texts = read_texts()
    tokenizer = train_tokenizer(texts, plan.vocabulary, out / "tokenizer")
    parts = Windows(
        prose=texts.prose,
        code=texts.code,
        validation_prose=texts.judged_prose[::2],
        validation_code=texts.glimpse,
        test_prose=texts.judged_prose[1::2],
        test_code=texts.judged_code,
    )
    found = {name: windows(tokenizer, part, plan.context) for name, part in parts._asdict().items()}
    for name, ids in found.items():
        if "_" in name:
            found[name] = ids[np.random.default_rng(0).permutation(len(ids))[: plan.held_out]]
    beside = out / "unfinished.npz"
    np.savez(beside, **found)
    beside.replace(file)


def load(out: Path) -> Windows:
    """What ``prepare`` has written."""
    with np.load(out / "windows.npz") as kept:
        return Windows(**{name: kept[name] for name in Windows._fields})
