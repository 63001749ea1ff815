"""What is said of signals whose worth is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_documents import made
from sklearn.metrics import roc_auc_score

from lm_eval_dispersion.rank import HARD, Documents, why_no_yardstick, yardstick
from lm_eval_dispersion.rank._yardstick import length_strata


def planted(n: int = 300, seed: int = 0, **signals: float) -> Documents:
    """Each signal says so much of whether an answer is wrong, on its hard side; length says nothing."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.4
    values = {
        name: (1 if HARD[name] == "high" else -1) * (strength * wrong + rng.standard_normal(n))
        for name, strength in signals.items()
    }
    return made(~wrong, length=rng.integers(20, 200, n), **values)


def worth(documents: Documents, name: str) -> Any:
    return next(one for one in yardstick(documents, resamples=200).worths if one.name == name)


def test_intervals_are_percentiles_over_resampled_documents() -> None:
    documents = planted(n=80, dispersion=0.5)
    found = worth(documents, "dispersion").auroc
    wrong, hardness = ~documents.correct, documents.signals["dispersion"].hardness  # type: ignore[operator]
    resampled = []
    for counts in np.random.default_rng(0).multinomial(80, np.full(80, 1 / 80), size=200):
        some = np.repeat(np.arange(80), counts)
        resampled.append(roc_auc_score(wrong[some], hardness[some]))
    assert found.value == pytest.approx(roc_auc_score(wrong, hardness), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(resampled, [2.5, 97.5])), abs=1e-12)


def test_resamples_that_do_not_fit_in_memory_at_once_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = planted(n=80, dispersion=0.5)
    at_once = yardstick(documents, resamples=50)
    monkeypatch.setattr("lm_eval_dispersion.rank._bootstrap._ROOM", 80 * 7)
    assert yardstick(documents, resamples=50) == at_once


@pytest.mark.parametrize(
    ("strengths", "says"),
    [
        (
            {"dispersion": 0.0, "confidence": 1.5, "entropy": 0.1},
            "The best of 3 other signals, confidence (0.8",
        ),
        (
            {"dispersion": 1.5, "confidence": 0.0, "entropy": 0.1},
            "tells wrong answers better than the best of 3 other signals, ",
        ),
        ({"dispersion": 1.0, "confidence": 1.0, "entropy": 0.1}, "cannot be told apart: difference "),
    ],
)
def test_one_sentence_says_which_is_better(strengths: dict[str, float], says: str) -> None:
    found = yardstick(planted(**strengths))
    first, _ = found.sentences()
    assert says in first and found.against is not None
    assert "98.3 % interval, widened because the best was chosen after looking; paired, 300 documents" in first
    if strengths["dispersion"] == 1.5:
        assert first.startswith("D (AUROC 0.8") and found.against.difference.high < 0


def test_the_interval_of_the_difference_is_widened_for_the_signals_chosen_among() -> None:
    alone, among = (planted(dispersion=0.5, confidence=1.0, **more) for more in ({}, {"entropy": 0.0, "margin": 0.0}))
    one, four = yardstick(alone).against, yardstick(among).against
    assert one is not None and four is not None
    assert (one.candidates, four.candidates) == (2, 4)
    assert one.level == pytest.approx(0.975) and four.level == pytest.approx(0.9875)


def test_differences_are_paired_over_the_documents_that_have_both() -> None:
    documents = planted(dispersion=0.5, confidence=1.5)
    documents.signals["dispersion"].values[:50] = np.nan
    documents.signals["confidence"].values[25:75] = np.nan
    found = yardstick(documents, resamples=200)
    assert found.against is not None and found.against.n == 225
    assert {one.name: one.n for one in found.worths} == {"dispersion": 250, "length": 300, "confidence": 250}
    wrong = ~documents.correct[75:]  # type: ignore[index]
    expected = [roc_auc_score(wrong, documents.signals[n].hardness[75:]) for n in ("confidence", "dispersion")]
    assert found.against.difference.value == pytest.approx(expected[0] - expected[1], abs=1e-12)


def test_length_in_disguise_is_found_out() -> None:
    rng = np.random.default_rng(1)
    length = rng.integers(10, 1000, 1000)
    wrong = rng.random(1000) < length / 1100
    documents = made(
        ~wrong, dispersion=-length + rng.normal(0, 5, 1000), length=length, entropy=3 * wrong + rng.random(1000)
    )
    disguised, real = worth(documents, "dispersion"), worth(documents, "entropy")
    assert disguised.auroc.low > 0.7 and disguised.length_held.low < 0.55 < 0.58
    assert real.length_held.low > 0.95
    assert np.isnan(worth(documents, "length").length_held.value)


def test_strata_are_deciles_or_terciles_and_equal_lengths_stay_together() -> None:
    many = length_strata(made(dispersion=np.ones(400), length=np.arange(400)))
    assert np.bincount(many).tolist() == [40] * 10
    few = length_strata(made(dispersion=np.ones(90), length=np.arange(90)))
    assert np.bincount(few).tolist() == [30] * 3
    tied = length_strata(made(dispersion=np.ones(6), length=[5, 5, 5, 5, 9, np.nan]))
    assert len(set(tied[:4])) == 1 and tied[5] == -1
    assert length_strata(made(dispersion=np.ones(3))).tolist() == [-1] * 3


def test_the_best_layer_is_marked_as_chosen_after_looking() -> None:
    rng = np.random.default_rng(2)
    wrong = rng.random(100) < 0.5
    layers = {f"dispersion_at_{layer}": rng.standard_normal(100) for layer in range(20)}
    layers["dispersion_at_7"] = -2.0 * wrong + rng.standard_normal(100)
    found = yardstick(made(~wrong, dispersion=layers["dispersion_at_19"], **layers), resamples=200)
    assert [(one.name, one.layers) for one in found.worths] == [("dispersion", 0), ("dispersion@7", 20)]
    assert max(found.layers, key=found.layers.__getitem__) == "dispersion@7" and len(found.layers) == 20
    # A layer that was chosen is not what D is compared by, nor named as better than chance.
    assert found.against is None and "dispersion@7" not in " ".join(found.sentences())


def test_signals_that_say_something_are_named_and_those_that_say_it_the_other_way_round() -> None:
    _, second = yardstick(planted(dispersion=-1.0, confidence=1.0, entropy=0.0)).sentences()
    assert second == (
        "AUROC above one half by its own interval: confidence; below it, the other way round: dispersion."
    )
    _, second = yardstick(planted(dispersion=0.0, seed=3)).sentences()
    assert second == "AUROC above one half by its own interval: none."


@pytest.mark.parametrize(
    ("correct", "why"),
    [
        (None, "no labels: no metric of it is 0 or 1 for every document"),
        ([True, False] * 9, "18 documents, fewer than 20"),
        ([True] * 30, "all 30 answers are right"),
        ([False] * 30, "all 30 answers are wrong"),
        ([True, False] * 10, ""),
    ],
)
def test_why_there_is_no_yardstick(correct: Any, why: str) -> None:
    n = len(correct) if correct else 30
    assert why_no_yardstick(made(correct, dispersion=np.arange(n))) == why


def test_a_class_that_resamples_lose_leaves_no_interval() -> None:
    correct = np.ones(40, dtype=bool)
    correct[3] = False
    found = yardstick(made(correct, dispersion=np.arange(40.0)), resamples=500).worths[0]
    assert np.isfinite(found.auroc.value) and np.isnan(found.auroc.low) and str(found.auroc) == "0.92"
