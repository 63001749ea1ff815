"""What was screened, in a terminal: what was read of each checkpoint, then the rankings."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lm_eval_dispersion.runs import plain
from lm_eval_dispersion.screen import FEWEST, FEWEST_GENERAL, SHARE, Group, Ranked, Screened, spell

# Columns of the table: what does not fit is wrapped by the terminal rather than left out.
_WIDTH = 120
_LISTED = 4
"""Checkpoints that a line names."""


def show(screened: list[Screened], groups: list[Group]) -> None:
    """Prints the checkpoints, and the groups in which they are ranked."""
    console = Console(highlight=False)
    if console.width < _WIDTH:
        console.width = _WIDTH
    names = _short([one.checkpoint.name for one in screened])
    for one in screened:
        _show_checkpoint(console, one)
    for group in groups:
        _show_group(console, group, names)
    _show_notes(console, groups, names)


def _show_checkpoint(console: Console, one: Screened) -> None:
    of, untrained = one.checkpoint, one.untrained
    tied = " (tied)" if of.matrix.tied else ""
    share = one.meter.bytes / of.size if of.size else 0
    interval = f"{untrained.low:,.0f} to {untrained.high:,.0f}"
    console.print(Text(plain(of.name), style="bold"), soft_wrap=True)
    for line in (
        f"{plain(of.matrix.tensor)}{tied}: {of.matrix.rows:,} x {of.matrix.width:,} in {of.matrix.dtype}",
        f"left out: {one.padding_rows:,} padding rows, and about {untrained.about:,.0f} never trained "
        f"({interval}; {untrained.found} of a sample of {untrained.sample:,})",
        f"read {_megabytes(one.meter.bytes)} of {_megabytes(of.size)} ({share:.2%}) in {one.seconds:.1f} s",
    ):
        console.print(Text(f"  {line}"), soft_wrap=True)


def _show_group(console: Console, group: Group, names: dict[str, str]) -> None:
    score = group.ranked[0].score
    family = group.model_type or "family unknown"
    some = f" of {score.found:,}" if score.found > score.tokens else ""
    everyday = f"{score.general} of {score.asked_general}" if score.asked_general > score.general else score.general
    console.print()
    console.print(
        Text.assemble(
            (plain(group.set), "bold cyan"),
            f": {score.tokens}{some} tokens ({score.tokens_hash[:8]}) against {everyday} everyday tokens "
            f"({score.general_hash[:8]}); {plain(family)}, tokenizer {group.vocabulary_hash[:8]}",
        ),
        soft_wrap=True,
    )
    for line in _left_out(group, names):
        console.print(Text(line), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", overflow="fold")
    for column in ("G", "random sets", "as frequent", "ahead of the next"):
        table.add_column(column, no_wrap=True)
    for ranked in group.ranked:
        table.add_row(*_row(ranked, names))
    console.print(table)


def _left_out(group: Group, names: dict[str, str]) -> list[str]:
    """Of the set and of the general tokens: how many do not count, and in which checkpoints."""
    first, every = group.ranked[0].score, [one for ranked in group.ranked for one in ranked.screened]
    of_set = {one.checkpoint.name: one.scores[group.set].untrained for one in every}
    of_general = {one.checkpoint.name: one.scores[group.set].untrained_general for one in every}
    told = (
        ("the set", first.untrained + first.untrained_elsewhere, of_set),
        ("the everyday tokens", first.asked_general - first.general, of_general),
    )
    lines = []
    for kind, left, by_name in told:
        most = sorted(by_name, key=lambda name: -by_name[name])
        listed = [f"{names[name]} ({by_name[name]})" for name in most if by_name[name]]
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        if left:
            lines.append(f"  left out of {kind}: {left}, never trained in {', '.join(listed[:_LISTED])}{more}")
    return lines


def _row(ranked: Ranked, names: dict[str, str]) -> list[str]:
    score, lead = ranked.score, ranked.lead
    ranges = (
        f"{draws.low:.3f} to {draws.high:.3f} ({draws.below:.0%})" if draws else "too few tokens"
        for draws in (score.random, score.matched)
    )
    ahead = f"{lead.difference:.4f} ± {lead.stderr:.4f}" if lead else ""
    alike = "\n= ".join(names[one.checkpoint.name] for one in ranked.screened)
    return [alike, f"{score.gap:.4f} ± {score.left_out.stderr:.4f}", *ranges, ahead]


def _short(names: list[str]) -> dict[str, str]:
    """The last part of each name where that tells them apart, else all of it."""
    last = {name: name.rstrip("/").rpartition("/")[2] or name for name in names}
    unique = len(set(last.values())) == len(last)
    return {name: plain(last[name] if unique else name) for name in names}


def _show_notes(console: Console, groups: list[Group], names: dict[str, str]) -> None:
    if not groups:
        return
    notes = [
        "± over tokens; that of a difference over the same ones in both (jackknife).",
        "The ranges hold 95 % of 1,000 other sets of the same size; in brackets the share with a smaller G.",
    ]
    alike = {tuple(s.checkpoint.name for s in r.screened): r.screened[0].rows_read for g in groups for r in g.ranked}
    for same, rows in alike.items():
        if len(same) > 1:
            listed = ", ".join(names[one] for one in same)
            notes.append(f"Same output matrix, G cannot tell them apart: {listed} (equal in all {rows:,} rows read).")
    if len({(g.model_type, g.vocabulary_hash) for g in groups}) > 1:
        notes.append("Checkpoints of other tokenizers or families are not ranked against each other.")
    notes.extend(_apart(groups, names))
    notes.append("When not to trust it: docs/screen.md")
    console.print()
    for note in notes:
        console.print(Text(note, style="dim"), soft_wrap=True)


def _apart(groups: list[Group], names: dict[str, str]) -> list[str]:
    """A line for each set and family whose checkpoints have too few tokens in common."""
    kin: dict[tuple[str, str, str], list[str]] = {}
    for group in groups:
        members = ", ".join(names[one.checkpoint.name] for ranked in group.ranked for one in ranked.screened)
        kin.setdefault((group.set, group.model_type, group.vocabulary_hash), []).append(members)
    return [
        f"{plain(key[0])}: {' | '.join(members)}: ranked apart, for too few tokens count in all of them "
        f"(less than {SHARE:.0%} of those that count in any, {FEWEST} of the set or {FEWEST_GENERAL} everyday ones)."
        for key, members in kin.items()
        if len(members) > 1
    ]


def show_chosen(shown: dict[str, dict[str, list[str]]]) -> None:
    """Prints the tokens of each set of each checkpoint."""
    console = Console(highlight=False)
    for name, sets in shown.items():
        console.print(Text(plain(name), style="bold"), soft_wrap=True)
        for set_name, tokens in sets.items():
            console.print(Text(f"  {plain(set_name)}, {len(tokens)}:", style="cyan"), soft_wrap=True)
            # Quoted, for many tokens begin with a blank.
            console.print(Text("    " + " ".join(repr(spell(token)) for token in tokens)), soft_wrap=True)


def _megabytes(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"
