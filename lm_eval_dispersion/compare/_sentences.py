"""What a comparison says, in sentences for a person."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lm_eval_dispersion.compare._comparison import FEW, Comparison, Difference, Model, Pair
from lm_eval_dispersion.runs import plain

# So many names are read in a sentence.
_NAMES = 4


def shown(value: float | None, stderr: float | None, sign: str = "") -> str:
    """A number with its standard error: two digits of the error that count, and at least three decimals."""
    if value is None:
        return "–"
    decimals = 3 if not stderr else min(6, max(3, 1 - math.floor(math.log10(stderr))))
    error = "" if stderr is None else f" ± {stderr:.{decimals}f}"
    return f"{value:{sign}.{decimals}f}{error}"


def probability(p: float | None) -> str:
    """A p-value, as it stands in a table."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}"


def count(n: int, what: str) -> str:
    """So many of something."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def more_documents(difference: Difference) -> str:
    """So many beside those there are would tell two models apart; empty where these do, or nobody can say."""
    if difference.told or difference.stderr is None or not difference.value:
        return ""
    if difference.needed is None:
        return "over 1,000 times as many"
    return f"{_rounded(difference.needed) - difference.documents:,}"


def place(model: Model) -> str:
    """Of a model among the others, as far as the differences tell."""
    return "–" if not model.place else "–".join(map(str, sorted({*model.place})))


def verdict(found: Comparison) -> str:
    """Which model predicts the text best, as far as these documents tell, and whether D may be compared."""
    placed = [model for model in found.models if model.place]
    if len(placed) < 2:
        return _by_totals(found)
    of = "" if len(placed) == len(found.models) else f"Of the {len(placed)} models in the differences: "
    said = _of_two(found.pairs[0]) if len(placed) == 2 else _of_many(placed, found.pairs)
    return f"{of}{said}; {_dispersion(found.pairs)}."


def warnings(found: Comparison) -> list[str]:
    """What a reader has to know before the numbers are taken at their word, a line each."""
    lines = []
    if found.documents < FEW:
        rough = "no standard error" if found.documents == 1 else "errors, intervals and p are rough"
        lines.append(f"{count(found.documents, 'document')}: {rough}; measure at least {FEW}")
    if without := [m.label for m in found.models if not m.samples]:
        lines.append(f"paired differences need lm_eval --log_samples, which {_listed(without)} ran without")
    lines += [f"{m.label} has no bits per byte: {m.bits.why}" for m in found.models if m.bits.value is None]
    for model in found.models:
        if model.entry.measured.within.value is None:
            lines.append(f"{model.label} has no D: {plain(model.entry.measured.within.why)}")
    paired = [pair.bits.documents for pair in found.pairs if pair.bits]
    if paired and min(paired) < found.documents:
        lines.append(
            f"differences are over {min(paired):,} of {count(found.documents, 'document')}: copies are one, and what "
            "is not logged alike in both runs is left out"
        )
    return lines


def method(found: Comparison) -> str:
    """What the errors, intervals and p are, and what was measured."""
    said = ["± is one standard error over documents; intervals are 95 %"]
    if len(found.pairs) > 1:
        pairs = f"{len(found.pairs)} pairs"
        said[0] += f", those of differences simultaneous over {pairs} (Bonferroni), p adjusted for them (Holm)"
    if found.pairs:
        said.append("Differences are paired by document")
    if any(pair.bits and more_documents(pair.bits) for pair in found.pairs):
        said.append("How many more documents it takes: with a power of 80 %, if the difference is what it seems")
    said.append(f"{count(found.documents, 'document')}, text {found.hash[:12]}, {found.how}")
    return f"{'. '.join(said)}."


def _by_totals(found: Comparison) -> str:
    ranked = [model for model in found.models if model.bits.value is not None]
    if not ranked:
        return "None of these runs has bits per byte."
    best = ranked[0]
    if len(ranked) == 1:
        return f"{best.label} alone has bits per byte: {shown(best.bits.value, best.bits.stderr)}."
    next_best = shown(ranked[1].bits.value, None)
    return (
        f"{best.label} has the fewest bits per byte, {shown(best.bits.value, None)} before {next_best} of "
        f"{ranked[1].label}; whether that is more than chance cannot be said without both runs' logged samples."
    )


def _of_two(pair: Pair) -> str:
    difference = pair.bits
    if difference is None:
        return f"{pair.first} and {pair.second} have no logged document in common"
    better, worse = (pair.first, pair.second) if difference.value >= 0 else (pair.second, pair.first)
    if difference.told:
        return f"{better} predicts this text better than {worse} by {_over(difference)}"
    if difference.stderr is None:
        return f"One document cannot tell {better} from {worse}: {shown(abs(difference.value), None)} bits a byte"
    if not difference.value:
        return f"{better} and {worse} predict this text alike, without any difference"
    return f"{better} and {worse} cannot be told apart on this text: {_over(difference)}{_more(difference, '; ')}"


def _of_many(placed: Sequence[Model], pairs: Sequence[Pair]) -> str:
    best, others = placed[0].label, [model.label for model in placed[1:]]
    against = {pair.second: pair.bits for pair in pairs if pair.first == best}
    close = [label for label in others if not ((bits := against[label]) and bits.told and bits.value > 0)]
    nearest = against[close[0] if close else others[0]]
    if not close:
        assert nearest
        others_too = f"{best} predicts this text better than each of the other {len(others)}"
        return f"{others_too}, than the next, {others[0]}, by {_over(nearest)}"
    said = (
        f"No one model predicts this text best: {best} has the fewest bits per byte, and {_listed(close)} cannot be "
        "told from it"
    )
    if nearest is None or nearest.stderr is None:
        return said
    return f"{said}; from {close[0]} it is {_over(nearest)}{_more(nearest, ', and ')}"


def _dispersion(pairs: Sequence[Pair]) -> str:
    compared = [pair for pair in pairs if pair.dispersion]
    if not compared:
        reasons = {pair.why for pair in pairs}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ", for the reasons that stand beside each pair"
        return f"their D cannot be compared{why}"
    if len(pairs) > 1:
        told = sum(bool(pair.dispersion and pair.dispersion.told) for pair in compared)
        among = f"{len(compared)} of {len(pairs)} pairs" if len(compared) < len(pairs) else "all pairs"
        return f"their D can be compared in {among}, and differs in {told or 'none'}"
    difference = compared[0].dispersion
    assert difference
    if difference.stderr is None or not difference.told:
        p = f", {_p(difference.p)}" if difference.p is not None else ""
        return f"their D cannot be told apart ({shown(abs(difference.value), difference.stderr)}{p})"
    larger = pairs[0].second if difference.value > 0 else pairs[0].first
    return f"D is larger in {larger} by {_over(difference, '')}"


def _over(difference: Difference, unit: str = " bits a byte") -> str:
    p = f" ({_p(difference.p)})" if difference.p is not None else ""
    size = shown(abs(difference.value), difference.stderr)
    return f"{size}{unit} over {count(difference.documents, 'document')}{p}"


def _more(difference: Difference, before: str) -> str:
    more = more_documents(difference)
    if more and difference.needed:
        more = f"about {_rounded(difference.needed):,} documents ({more} more)"
    return f"{before}it takes {more} to tell such a difference" if more else ""


def _p(p: float) -> str:
    return f"p {probability(p)}" if p < 0.001 else f"p = {probability(p)}"


def _listed(labels: Sequence[str]) -> str:
    if len(labels) > _NAMES:
        labels = [*labels[: _NAMES - 1], f"{len(labels) - _NAMES + 1} others"]
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def _rounded(n: int) -> int:
    """To two digits, upwards: it is an estimate."""
    unit = 10 ** max(0, len(str(n)) - 2)
    return -(-n // unit) * unit
