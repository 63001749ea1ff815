"""What slices show, in sentences."""

from __future__ import annotations

from lm_eval_dispersion.slices._read import Shuffles, Slices

CURVE = (
    "D of a slice is one minus the mean cosine over its pairs of documents. Over all slices with a share p of right "
    "answers its mean is 1 - |p m_c + (1 - p) m_w|² up to O(1/n), with the mean vectors m_c of right and m_w of wrong "
    "answers: a parabola fixed by three numbers, which rises everywhere exactly when |m_c|² <= m_c·m_w <= |m_w|². "
    "Eleven points on it say no more than these three numbers do."
)
_SURE = 0.05
_KINDS = {"length": "length third"}


def shape(found: Slices) -> str:
    """How the curve of the three numbers runs from 0 to 100 % right, and in how many resamples it rises."""
    a, b, e = (one.value for one in found.cosines)
    if a <= b <= e:
        runs = "rises everywhere"
    elif a >= b >= e:
        runs = "falls everywhere"
    else:
        turns = percent((e - b) / (a + e - 2 * b))
        runs = f"rises up to {turns} right, then falls" if b < min(a, e) else f"falls up to {turns} right, then rises"
    return f"{runs}; it rises everywhere in {percent(found.rises)} of {found.resamples:,} resamples of the documents"


def percent(share: float) -> str:
    """As a person reads it."""
    return f"{100 * share:.0f} %"


def among(shuffles: Shuffles) -> str:
    """Which documents the answers are shuffled among: all, or those of equal ...."""
    *some, last = [_KINDS.get(kind, kind) for kind in shuffles.within] or [""]
    return f"equal {', '.join(some) + ' and ' if some else ''}{last}" if last else "all documents"


def conclusion(found: Slices) -> str:
    """What may be said of right and wrong answers."""
    if not found.difference.excludes_zero:
        return "These documents do not show that D differs between right and wrong answers."
    side = "larger" if found.difference.value > 0 else "smaller"
    said = f"D is {side} across right answers than across wrong ones"
    alone = [one for one in found.shuffles if not one.within]
    held = [one for one in found.shuffles if one.within]
    if any(one.p is not None and one.p >= _SURE for one in alone):
        return f"{said} by its interval, but not by shuffling the answers: no clear difference."
    if explains := [one for one in held if one.p is None or one.p >= _SURE]:
        n = found.right + found.wrong
        few = [f" ({one.shuffled} of {n} can be shuffled)" if 2 * one.shuffled < n else "" for one in explains]
        named = (among(one) + said_of for one, said_of in zip(explains, few, strict=True))
        return f"{said}, but not clearly so among documents of {', or of '.join(named)}."
    return f"{said}, also among documents of {', of '.join(map(among, held))}." if held else f"{said}."


def spearman_warning(found: Slices) -> str:
    """The points' rank correlation, and why it proves little."""
    value = "is not defined" if found.spearman is None else f"is {found.spearman:+.2f}"
    return (
        f"Spearman of the {len(found.points)} points {value}, which proves little: with right and wrong shuffled among "
        f"all documents it is at least .9 in size in {percent(found.monotone)} of {found.resamples:,} shuffles."
    )
