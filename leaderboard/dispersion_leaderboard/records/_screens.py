"""Results of ``lm-eval-dispersion screen``: numbers of a checkpoint, put beside all that was measured of its model."""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import Any

import pandas as pd

from dispersion_leaderboard.records._clean import clean
from dispersion_leaderboard.records._model import CONFIGURATION, Model
from dispersion_leaderboard.records._values import mapping

SCREEN = "screen"
"""The ``kind`` of such rows."""

_OF_ENTRY = ["entry", "on_hub", *(name for name in CONFIGURATION if name != "model")]
_COMMIT = "[0-9a-f]{40}"


def screened(config: object) -> dict[str, Any] | None:
    """What a screen says of how it was made; None for a task."""
    found = mapping(mapping(config).get("metadata")).get("dispersion_screen")
    return found if isinstance(found, dict) else None


def of_screen(task: str, screen: dict[str, Any], model: Model) -> dict[str, Any]:
    """What the rows of a screen say where those of a task say something else."""
    file = re.split(r"[\\/]", model.name)[-1] if model.name.endswith(".gguf") else ""
    return {
        "model": file.removesuffix(".gguf") or model.name,
        "gguf_file": file or model.gguf_file,
        "kind": SCREEN,
        "corpus": clean(screen.get("set")) or clean(task).removeprefix("screen_"),
        "definition": clean(screen.get("version")),
        "plugin": clean(screen.get("plugin_version")),
        "command": shlex.join(["lm-eval-dispersion", "screen", model.name]),
        "how": "rows of the output matrix",
        # It counts tokens, not documents, and takes the same ones whatever their number.
        "n": None,
        "n_original": None,
        "limited": False,
    }


def join_screens(table: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Gives the rows of screens to the entries of their model, and says which found none: (file, why).

    A screen reads a checkpoint's output matrix: dtype, engine and prompt are not its concern. So it belongs to every
    entry of that model's name and revision, GGUF file included, that has no adapter. Where one of the two names no
    commit, it belongs to the model if all its entries are of one revision.
    """
    of_screen = table["kind"] == SCREEN
    if not of_screen.any():
        return table, []
    rest = table[~of_screen]
    words = table.select_dtypes("category").columns
    screens = table[of_screen].drop(columns=[n for n in _OF_ENTRY if n not in ("revision", "gguf_file")])
    screens = screens.astype(dict.fromkeys(screens.columns.intersection(words), object))
    entries = rest.drop_duplicates("entry")[["model", *_OF_ENTRY]]
    entries = entries.astype(dict.fromkeys(entries.columns.intersection(words), object))
    entries["revisions"] = entries.groupby("model")["revision"].transform("nunique")
    both = screens.reset_index(names="row").merge(entries, on="model", suffixes=("_of_screen", ""))
    named = _is_commit(both["revision_of_screen"]) & _is_commit(both["revision"])
    same = (both["revision_of_screen"] == both["revision"]) | (~named & (both["revisions"] == 1))
    same &= (both["gguf_file_of_screen"] == both["gguf_file"]) & (both["peft"] == "")
    both = both[same]
    lost = screens.drop(index=both["row"].unique()).drop_duplicates(["source", "model"])
    said = [
        (source, f"a screen of {model}, of which nothing else was measured")
        for source, model in zip(lost["source"], lost["model"], strict=True)
    ]
    if both.empty:
        return rest, said
    # Of one screen every entry has a record of its own.
    pairs = zip(both["record"], both["entry"], strict=True)
    both["record"] = [hashlib.sha256(f"{record} {entry}".encode()).hexdigest()[:16] for record, entry in pairs]
    return _one_below_the_other(rest, both[rest.columns]), said


def _is_commit(revisions: pd.Series) -> pd.Series:
    return revisions.astype(str).str.fullmatch(_COMMIT).astype(bool)


def _one_below_the_other(rest: pd.DataFrame, both: pd.DataFrame) -> pd.DataFrame:
    """With the words of both: taking all of them apart would cost a large table seconds."""
    parts = [rest.copy(), both.copy()]
    for name in rest.select_dtypes("category"):
        words = rest[name].cat.categories
        words = words.append(pd.Index(both[name].dropna().unique()).difference(words))
        for part in parts:
            part[name] = pd.Categorical(part[name], categories=words)
    return pd.concat(parts, ignore_index=True)
