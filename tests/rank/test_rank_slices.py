"""Slices by a field and by clusters, against other people's code and planted ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_documents import made
from scipy.stats import sem, spearmanr, ttest_1samp
from statsmodels.stats.proportion import proportion_confint

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.rank import Documents, slices_of

SUBJECTS = ("algebra", "botany", "chess", "dance", "ethics")


def by_subject(n: int = 100, labelled: bool = True) -> Documents:
    """Five subjects, D higher from one to the next."""
    rng = np.random.default_rng(0)
    subject = rng.integers(5, size=n)
    return made(
        rng.random(n) < 0.3 + subject / 10 if labelled else None,
        fields=[
            {"subject": SUBJECTS[s], "question": f"q{i}", "choices": ["a"], "year": 2020} for i, s in enumerate(subject)
        ],
        dispersion=0.4 + subject / 20 + 0.03 * rng.standard_normal(n),
        entropy=rng.random(n),
    )


def test_means_errors_and_accuracies_are_those_of_other_peoples_code_lowest_d_first() -> None:
    documents = by_subject()
    assert documents.correct is not None
    found = slices_of(documents, documents.signal("dispersion"), "subject")
    assert [one.name for one in found.slices] == list(SUBJECTS)
    for one in found.slices:
        of = np.array([row["subject"] == one.name for row in documents.fields])
        d, right = documents.signals["dispersion"].values[of], documents.correct[of]
        interval = ttest_1samp(d, 0).confidence_interval()
        assert (one.n, one.mean, one.stderr) == (of.sum(), pytest.approx(d.mean()), pytest.approx(sem(d)))
        assert (one.low, one.high) == pytest.approx((interval.low, interval.high))
        assert one.accuracy is not None and one.accuracy.value == pytest.approx(right.mean())
        expected = proportion_confint(right.sum(), len(right), method="wilson")
        assert (one.accuracy.low, one.accuracy.high) == pytest.approx(expected)
    rho = spearmanr([one.mean for one in found.slices], [one.accuracy.value for one in found.slices if one.accuracy])
    assert found.spearman == pytest.approx((rho.statistic, rho.pvalue))
    assert found.sentence().startswith(
        "The first of 5 slices is the hardest partly by chance; a harder mean goes with "
    )


def test_the_hard_side_of_the_signal_comes_first_and_no_labels_no_accuracy() -> None:
    documents = by_subject(labelled=False)
    found = slices_of(documents, documents.signal("entropy"), "subject")
    means = [one.mean for one in found.slices]
    assert means == sorted(means, reverse=True) and found.signal == "entropy"
    assert all(one.accuracy is None for one in found.slices) and found.spearman is None
    assert found.sentence() == "The first of 5 slices is the hardest partly by chance."


def test_documents_without_the_signal_are_left_out_and_one_alone_has_no_error() -> None:
    values = [0.1, np.nan, 0.3, 0.4, np.nan, np.nan]
    documents = made(fields=[{"kind": kind} for kind in "aabbcc"], dispersion=values)
    first, second = slices_of(documents, documents.signal("dispersion"), "kind").slices
    assert (first.name, first.n, first.mean) == ("a", 1, 0.1) and np.isnan([first.stderr, first.low, first.high]).all()
    assert (second.name, second.n, second.mean) == ("b", 2, pytest.approx(0.35))


def test_in_a_group_the_tasks_are_slices() -> None:
    documents = made(tasks=["x"] * 3 + ["y"] * 3, dispersion=np.arange(6.0))
    assert [one.name for one in slices_of(documents, documents.signal("dispersion"), "task").slices] == ["x", "y"]


WORDS = {
    "ship": "harbour sailor anchor voyage",
    "bread": "flour oven yeast dough",
    "star": "planet telescope orbit galaxy",
}


def about_three_things(n: int = 60) -> tuple[Documents, list[str]]:
    """Texts of three vocabularies behind one long instruction, D lowest where they speak of bread."""
    rng = np.random.default_rng(0)
    themes = [list(WORDS)[i % 3] for i in range(n)]
    said = [" ".join(rng.choice(WORDS[theme].split(), 8)) for theme in themes]
    texts = [f"Answer the following question as well as you can, and briefly. {line}" for line in said]
    return made(texts=texts, dispersion=[0.3 if t == "bread" else 0.5 + 0.1 * (t == "star") for t in themes]), themes


def test_clusters_find_planted_vocabularies_and_are_named_by_their_terms() -> None:
    documents, _ = about_three_things()
    found = slices_of(documents, documents.signal("dispersion"), "clusters=3")
    assert [set(one.name.split()) for one in found.slices] == [set(WORDS[t].split()) for t in ("bread", "ship", "star")]
    assert [one.n for one in found.slices] == [20, 20, 20] and found.by == "3 clusters of the texts (TF-IDF, k-means)"
    assert found == slices_of(documents, documents.signal("dispersion"), "clusters=3")


def test_how_many_clusters_there_are_follows_a_rule() -> None:
    documents, _ = about_three_things(60)
    assert slices_of(documents, documents.signal("dispersion"), "clusters").by.startswith("5 clusters")


def made_of(**row: Any) -> Documents:
    return made(fields=[row] * 30, texts=["of the and"] * 30, dispersion=np.arange(30.0))


@pytest.mark.parametrize(
    ("documents", "wanted", "says"),
    [
        (
            by_subject(),
            "topic",
            "no field of the documents, which have subject, question, choices, year; or `clusters`",
        ),
        (by_subject(), "choices", "its values are lists or objects, which divide nothing"),
        (by_subject(), "question", "100 values in 100 documents, which makes no slices"),
        (by_subject(), "year", "it is 2020 in every document"),
        (made_of(), "subject", "no field of the documents, which have none; or `clusters`"),
        (made_of(), "clusters=1", "give a whole number from 2 to the 30 documents there are"),
        (made_of(), "clusters=many", "give a whole number from 2 to the 30 documents there are"),
        (made_of(), "clusters", "the texts make no 4 clusters ("),
    ],
)
def test_what_divides_nothing_is_one_line(documents: Documents, wanted: str, says: str) -> None:
    with pytest.raises(TaskError) as error:
        slices_of(documents, documents.signal("dispersion"), wanted)
    assert str(error.value).startswith("lm-eval-dispersion: --slices ") and says in str(error.value)
    assert "\n" not in str(error.value)
