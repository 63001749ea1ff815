"""Slices of the documents, hardest first: by a field of theirs, or by clusters of their texts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, spearmanr, t
from tqdm import tqdm

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.rank._bootstrap import Estimate
from lm_eval_dispersion.rank._documents import Documents, Signal
from lm_eval_dispersion.runs import plain

CLUSTERS = "clusters"
_MOST_CLUSTERS = 20
_STARTS = 10
_TERMS = 4
# Of slices with a mean and an accuracy, for their correlation.
_FEWEST_SLICES = 4


@dataclass(frozen=True)
class Slice:
    """One slice."""

    name: str
    n: int
    """Documents that have the signal."""
    mean: float
    stderr: float
    """Over documents; NaN for a single one."""
    low: float
    high: float
    """95 % interval of the mean, by Student's t."""
    accuracy: Estimate | None
    """With Wilson's 95 % interval; None without labels."""


@dataclass(frozen=True)
class Slices:
    """All slices of one division, the one with the hardest mean first."""

    by: str
    """The field, or how the clusters were made."""
    signal: str
    slices: list[Slice]
    spearman: tuple[float, float] | None
    """Of the slices' mean hardness with their share of wrong answers: rho and its p-value. None without labels, or for
    fewer than four slices."""

    def sentence(self) -> str:
        """What the slices say of accuracy."""
        many = f"The first of {len(self.slices)} slices is the hardest partly by chance"
        if self.spearman is None:
            return f"{many}."
        rho, p = self.spearman
        return (
            f"{many}; a harder mean goes with more wrong answers by Spearman {rho:+.2f} (p = {p:.2g}) over the slices."
        )


def slices_of(documents: Documents, by: Signal, wanted: str) -> Slices:
    """Divides the documents.

    Args:
        documents: of which those without the signal are left out.
        by: the signal that is averaged.
        wanted: a field of the dataset's rows, ``task`` in a group, ``clusters`` or ``clusters=K``.

    Raises:
        TaskError: for what is no field of theirs, or divides nothing.
    """
    name, equals, count = wanted.partition("=")
    if name == CLUSTERS:
        names, how = _clusters(documents, _count(count, equals, len(documents)))
    else:
        names, how = _values(documents, wanted), wanted
    defined = np.isfinite(by.values)
    members = {name: np.flatnonzero(defined & (names == name)) for name in dict.fromkeys(names.tolist())}
    slices = [_slice(name, places, documents, by) for name, places in members.items() if len(places)]
    slices.sort(key=lambda one: one.mean, reverse=by.hard == "high")
    return Slices(plain(how), by.name, slices, _spearman(slices, by))


def _slice(name: str, places: NDArray[np.int64], documents: Documents, by: Signal) -> Slice:
    values, n = by.values[places], len(places)
    mean = float(values.mean())
    stderr = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    reach = stderr * float(t.ppf(0.975, n - 1)) if n > 1 else float("nan")
    accuracy = None
    if documents.correct is not None:
        right = int(documents.correct[places].sum())
        interval = binomtest(right, n).proportion_ci(method="wilson")
        accuracy = Estimate(right / n, float(interval.low), float(interval.high))
    return Slice(name, n, mean, stderr, mean - reach, mean + reach, accuracy)


def _spearman(slices: list[Slice], by: Signal) -> tuple[float, float] | None:
    accuracies = [one.accuracy.value for one in slices if one.accuracy]
    if len(accuracies) < _FEWEST_SLICES or len(set(accuracies)) < 2:
        return None
    means = [one.mean if by.hard == "high" else -one.mean for one in slices]
    found = spearmanr(means, [1 - accuracy for accuracy in accuracies])
    return (float(found.statistic), float(found.pvalue)) if np.isfinite(found.statistic) else None


def _values(documents: Documents, field: str) -> NDArray[np.str_]:
    """[documents], the field's value in words."""
    rows: list[dict[str, Any]] = documents.fields
    if not any(field in row for row in rows):
        if field == "task" and len(set(documents.tasks)) > 1:
            return np.array([plain(task) for task in documents.tasks])
        known = ", ".join(plain(name) for name in dict.fromkeys(name for row in rows for name in row)) or "none"
        raise TaskError(f"--slices {plain(field)}: no field of the documents, which have {known}; or `clusters`")
    values = [row.get(field) for row in rows]
    if any(isinstance(value, list | dict) for value in values):
        raise TaskError(f"--slices {plain(field)}: its values are lists or objects, which divide nothing")
    names = ["(none)" if value is None else plain(value) for value in values]
    if (many := len(set(names))) == 1:
        raise TaskError(f"--slices {plain(field)}: it is {names[0]} in every document")
    if many > len(names) / 2:
        raise TaskError(f"--slices {plain(field)}: {many} values in {len(names)} documents, which makes no slices")
    return np.array(names)


def _count(given: str, equals: str, n: int) -> int:
    """Clusters: those asked for, or the rule of thumb sqrt(n / 2) (Mardia, Kent and Bibby 1979), at most 20."""
    if not equals:
        return int(np.clip(round((n / 2) ** 0.5), 2, _MOST_CLUSTERS))
    if not given.isdecimal() or not 2 <= int(given) <= n:
        raise TaskError(f"--slices clusters={plain(given)}: give a whole number from 2 to the {n} documents there are")
    return int(given)


def _clusters(documents: Documents, k: int) -> tuple[NDArray[np.str_], str]:
    """[documents], the terms of each one's cluster: k-means on TF-IDF of the texts, without what all begin with."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english", max_df=0.5, min_df=2, sublinear_tf=True)
    try:
        vectors = vectorizer.fit_transform(documents.distinct())
        # One start after another, so that there is something to show; the closest is kept, as `n_init` keeps it.
        starts = tqdm(range(_STARTS), desc="clustering", unit="", delay=2)
        fitted = min((KMeans(k, n_init=1, random_state=s).fit(vectors) for s in starts), key=lambda f: f.inertia_)
    except ValueError as error:
        said = str(error).splitlines()[0]
        raise TaskError(f"--slices clusters: the texts make no {k} clusters ({plain(said)})") from None
    terms = vectorizer.get_feature_names_out()
    labels: list[str] = []
    used: Counter[str] = Counter()
    for centre in fitted.cluster_centers_:
        best = [str(terms[i]) for i in np.argsort(-centre, kind="stable")[:_TERMS] if centre[i] > 0]
        label = plain(" ".join(best) or "(no common term)")
        used[label] += 1
        labels.append(label if used[label] == 1 else f"{label} ({used[label]})")
    return np.array(labels)[fitted.labels_], f"{k} clusters of the texts (TF-IDF, k-means)"
