"""Family, tokenizer, kind, size, headline metric and chance level: by rule, and by the user's overrides first."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from dispersion_leaderboard.records._clean import clean
from dispersion_leaderboard.yaml_file import read_yaml

_NUMBERS = {"parameters", "active_parameters", "training_compute"}
_MODEL_KEYS = {"family", "tokenizer", "licence", "kind", "note", *_NUMBERS}
# Also 1_6b, as StabilityAI writes 1.6b.
_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?|(?<=-)\d_\d)([bm])(?![a-z])", re.IGNORECASE)
_EXPERTS = re.compile(r"\d+x\d|moe|-a\d+(?:\.\d+)?b", re.IGNORECASE)
_ACTIVE = re.compile(r"-a(\d+(?:\.\d+)?)b", re.IGNORECASE)
_PREFIX = "dispersion_"


@dataclass(frozen=True)
class Conventions:
    """The shipped rules with the user's own in front."""

    rules: dict[str, Any]
    """``conventions.yaml``."""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By model name: what the user knows better."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By task: ``chance`` and ``metric``."""

    @cached_property
    def _families(self) -> list[tuple[str, re.Pattern[str]]]:
        return [(rule["family"], re.compile(rule["match"], re.IGNORECASE)) for rule in self.rules["families"]]

    def describe(self, row: dict[str, Any]) -> dict[str, Any]:
        """What is said of a model beside its measurements.

        Args:
            row: ``model``, and ``parameters``, ``model_type`` and ``tokenizer`` where a results file tells them.
        """
        name = str(row["model"])
        known = self.models.get(name, {})
        family = known.get("family") or next((f for f, rule in self._families if rule.search(name)), None)
        counted = known.get("parameters") or row["parameters"]
        parameters = counted or (None if _EXPERTS.search(name) else _size(name))
        active = known.get("active_parameters")
        if active is None and (found := _ACTIVE.search(name)):
            active = float(found[1]) * 1e9
        if active is None and not _EXPERTS.search(name):
            active = parameters
        tuned = re.search(self.rules["fine_tuned"], name, re.IGNORECASE)
        family = clean(family or f"other ({row['model_type'] or 'unknown type'})")
        return {
            "family": family,
            "tokenizer": clean(known.get("tokenizer") or row["tokenizer"] or f"of {family}"),
            "licence": clean(known.get("licence") or ""),
            "note": clean(known.get("note") or ""),
            "model_kind": clean(known.get("kind") or ("fine-tune" if tuned else "")),
            "parameters": int(parameters) if parameters else None,
            "parameters_from": "" if not parameters else "counted" if counted else "name",
            "active_parameters": int(active) if active else None,
            "training_compute": float(known["training_compute"]) if known.get("training_compute") else None,
        }

    def chance(self, task: str, base_task: str, choices: int | None) -> float | None:
        """The accuracy of guessing; None where nobody says."""
        for name in (task, base_task, task.removeprefix(_PREFIX)):
            if "chance" in self.tasks.get(name, {}):
                return float(self.tasks[name]["chance"])
        if choices:
            return 1 / choices
        for name in (base_task, task.removeprefix(_PREFIX)):
            if name in self.rules["chance"]:
                return float(self.rules["chance"][name])
        return None

    def headline(self, task: str, metrics: list[str]) -> str | None:
        """Which of a task's metrics is its accuracy; None for a task that has none."""
        wanted = self.tasks.get(task, {}).get("metric")
        if wanted:
            return wanted if wanted in metrics else None
        return next((metric for metric in self.rules["headline"] if metric in metrics), None)


def _size(name: str) -> float | None:
    """The first number of billions, else of millions, which beside one count the data or the context (7B-1M)."""
    told = [(float(number.replace("_", ".")), unit.lower()) for number, unit in _SIZE.findall(name)]
    billions = next((1e9 * number for number, unit in told if unit == "b"), None)
    return billions or next((1e6 * number for number, _ in told), None)


def read_conventions(overrides: Path | None = None) -> Conventions:
    """The shipped rules, and a YAML file with ``models``, ``tasks`` and ``families`` of the user's own.

    Raises:
        SystemExit: where that file is not to be read, in one line.
    """
    shipped = files("dispersion_leaderboard.records").joinpath("conventions.yaml")
    rules = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    if overrides is None:
        return Conventions(rules)
    own = read_yaml(overrides)
    try:
        return _with_own(rules, {} if own is None else own)
    except ValueError as error:
        raise SystemExit(f"leaderboard: {overrides}: {error}; docs/leaderboard.md shows how it is written") from error


def _with_own(rules: dict[str, Any], own: object) -> Conventions:
    own = _known(own, {"models", "tasks", "families"}, "the file")
    models, tasks, families = own.get("models") or {}, own.get("tasks") or {}, own.get("families") or []
    for part, kept in (("models", models), ("tasks", tasks)):
        if not isinstance(kept, dict):
            raise ValueError(f"{part} is not a mapping of names")
    for name, told in models.items():
        _known(told, _MODEL_KEYS, f"models, {name}")
        for key in told.keys() & _NUMBERS:
            if not _is_number(told[key]) or not 0 < told[key] < math.inf:
                raise ValueError(f"models, {name}: {key} is {told[key]!r} and not a number above 0")
    for name, told in tasks.items():
        _known(told, {"chance", "metric"}, f"tasks, {name}")
        if "chance" in told and not (_is_number(told["chance"]) and 0 <= told["chance"] < 1):
            raise ValueError(f"tasks, {name}: chance is {told['chance']!r} and not a number from 0 to below 1")
    if not isinstance(families, list):
        raise ValueError("families is not a list")
    for rule in families:
        _known(rule, {"family", "match"}, "families")
        if not all(isinstance(rule.get(key), str) for key in ("family", "match")):
            raise ValueError(f"families: {rule} has no family or no match")
        try:
            re.compile(rule["match"])
        except re.error as error:
            raise ValueError(f"families, {rule['family']}: {rule['match']!r} is no pattern: {error}") from error
    models, tasks = ({str(name): told for name, told in part.items()} for part in (models, tasks))
    return Conventions({**rules, "families": [*families, *rules["families"]]}, models, tasks)


def _known(told: object, keys: set[str], where: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ValueError(f"{where} is not a mapping of {', '.join(sorted(keys))}")
    if unknown := [str(key) for key in told if key not in keys]:
        raise ValueError(f"{where} has unknown {', '.join(unknown)}; known are {', '.join(sorted(keys))}")
    return told


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
