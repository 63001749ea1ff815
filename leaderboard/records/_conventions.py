"""Family, tokenizer, kind, size, headline metric and chance level: by rule, and by the user's overrides first."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from leaderboard.records._clean import clean

_MODEL_KEYS = {"family", "tokenizer", "licence", "kind", "parameters", "active_parameters", "training_compute"}
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)
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
        size = _SIZE.search(name)
        by_name = (
            float(size[1]) * (1e9 if size[2].lower() == "b" else 1e6) if size and not _EXPERTS.search(name) else None
        )
        parameters = counted or by_name
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


def read_conventions(overrides: Path | None = None) -> Conventions:
    """The shipped rules, and a YAML file with ``models``, ``tasks`` and ``families`` of the user's own.

    Raises:
        SystemExit: where that file is not to be read, in one line.
    """
    rules = yaml.safe_load(files("leaderboard.records").joinpath("conventions.yaml").read_text(encoding="utf-8"))
    if overrides is None:
        return Conventions(rules)
    try:
        own = yaml.safe_load(overrides.read_text(encoding="utf-8")) or {}
        models, tasks, families = (own.get(key) or {} for key in ("models", "tasks", "families"))
        for rule in families:
            re.compile(rule["match"])
        unknown = {key for known in models.values() for key in known} - _MODEL_KEYS
        conventions = Conventions({**rules, "families": [*families, *rules["families"]]}, dict(models), dict(tasks))
    except OSError as error:
        raise SystemExit(f"leaderboard: cannot read {overrides}: {error.strerror}") from error
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, re.error) as error:
        raise SystemExit(
            f"leaderboard: {overrides} is no overrides file (docs/leaderboard.md shows one): {error}"
        ) from error
    if unknown:
        raise SystemExit(
            f"leaderboard: {overrides} has unknown {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(_MODEL_KEYS))}"
        )
    return conventions
