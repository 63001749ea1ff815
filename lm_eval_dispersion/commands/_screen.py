"""``screen``: checkpoints by G of their output projections, of which a few rows are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lm_eval_dispersion.runs import complain, plain

if TYPE_CHECKING:
    from lm_eval_dispersion.screen import Group, Screened


def screen(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders, .gguf files, or models on the Hub: ORG/MODEL, ORG/MODEL@REVISION, .../FILE.gguf."
        ),
    ],
    tokens: Annotated[
        list[str],
        typer.Option(metavar="SET", help="digits, python, medical, law or @FILE, a word a line; may be repeated."),
    ] = ["digits", "python"],  # noqa: B006 (typer copies it)
    show_tokens: Annotated[bool, typer.Option("--show-tokens", help="Print the tokens of each set, and stop.")] = False,
    output_path: Annotated[
        Path | None, typer.Option("--output_path", metavar="DIR", help="Also write lm_eval's results files there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Which checkpoint, without running one: G of its output matrix."""
    from tqdm import tqdm

    from lm_eval_dispersion.commands._screened import show, show_chosen
    from lm_eval_dispersion.screen import Unscreenable, check_sets, in_common, rank, spelled, write_results
    from lm_eval_dispersion.screen import screen as screened_by

    wanted = check_sets(list(dict.fromkeys(tokens)))
    screened: list[Screened] = []
    shown: dict[str, dict[str, list[str]]] = {}
    failed: dict[str, str] = {}
    for name in dict.fromkeys(models):
        with tqdm(desc=plain(name, 40), unit="B", unit_scale=True, delay=2, leave=False) as bar:
            try:
                if show_tokens:
                    shown[name] = spelled(name, wanted)
                else:
                    screened.append(screened_by(name, wanted, bar.update))
            except Unscreenable as error:
                failed[name] = str(error)
    for name, why in failed.items():
        complain(f"{name}: {why}")
    if show_tokens:
        if as_json:
            _print_json(shown)
        else:
            show_chosen(shown)
        return 0 if shown else 1
    with tqdm(desc="over the tokens in common", unit="", delay=2, leave=False) as bar:
        screened = in_common(screened, bar.update)
    for one in screened:
        for set_name, why in one.faults.items():
            complain(f"{one.checkpoint.name}: no G of {set_name}: {why}")
        if output_path is not None and one.scores:
            write_results(one, output_path)
    groups = rank(screened)
    if as_json:
        _print_json(_document(screened, groups, failed))
    else:
        show(screened, groups)
    return 0 if any(one.scores for one in screened) else 1


def _document(screened: list[Screened], groups: list[Group], failed: dict[str, str]) -> dict[str, Any]:
    from lm_eval_dispersion.screen import record

    return {
        "screened": [
            {
                "model": one.checkpoint.name,
                "sets": [record(one, name) for name in one.scores],
                "failed": one.faults,
            }
            for one in screened
        ],
        "groups": [_group(group) for group in groups],
        "failed": failed,
    }


def _group(group: Group) -> dict[str, Any]:
    score = group.ranked[0].score
    return {
        "set": group.set,
        "model_type": group.model_type or None,
        "vocabulary_hash": group.vocabulary_hash,
        "tokens": score.tokens,
        "general": score.general,
        "tokens_hash": score.tokens_hash,
        "general_hash": score.general_hash,
        "ranked": [
            {
                "models": [one.checkpoint.name for one in ranked.screened],
                "gap": ranked.score.gap,
                "lead": ranked.lead and {"difference": ranked.lead.difference, "stderr": ranked.lead.stderr},
            }
            for ranked in group.ranked
        ],
    }


def _print_json(document: Any) -> None:
    import json

    print(json.dumps(document, indent=2, allow_nan=False))
