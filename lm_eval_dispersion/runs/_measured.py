"""A task's part of a results file, read for a person. Files are strangers': nothing in them is trusted to be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lm_eval_dispersion.runs._plain import number, plain
from lm_eval_dispersion.runs._results import Run

_OURS = ("dispersion", "dispersion_across", "dispersion_pearson", "dispersion_spearman")
# Of a corpus' metrics lm_eval's other two are functions of this one and of the text.
_OF_A_CORPUS = "bits_per_byte"


@dataclass(frozen=True)
class Value:
    """A number with its uncertainty and its n."""

    value: float | None
    stderr: float | None
    n: int
    why: str = ""
    """Why there is no value, or else why there is no standard error."""


@dataclass(frozen=True)
class Signal:
    """A signal beside D."""

    name: str
    value: float
    stderr: float | None
    n: int


@dataclass(frozen=True)
class Metric:
    """A number of lm_eval's."""

    name: str
    value: float
    stderr: float | None


@dataclass(frozen=True)
class Measured:
    """What a record says of a task, for a person."""

    within: Value
    across: Value
    segments: str
    """What D is averaged over: windows or prompts."""
    counts: dict[str, int]
    min_vectors: int
    layers: list[int]
    profile: list[float | None]
    """D inside a segment, by ``layers``."""
    signals: list[Signal]
    """Beside D, those that have a value; of those by layer that of the last one that they were taken at."""
    how: str
    corpus: str


def measured(record: Any) -> Measured:
    """What a record says.

    Raises:
        ValueError: where it is no record.
    """
    try:
        return _measured(record)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _measured(record: dict[str, Any]) -> Measured:
    definition, counts = record["definition"], record["counts"]
    corpus = definition["kind"] == "corpus"
    counts = {str(name): int(count) for name, count in counts.items()}
    layers, least = [int(layer) for layer in record["layers"]], int(definition["min_vectors"] or 0)
    undefined = record.get("undefined")
    profile = [number(value) for value in _list(record["within"]["mean"])]
    if len(layers) != len(profile) and profile:
        raise ValueError(f"{len(profile)} values for {len(layers)} layers")
    within = _last(record["within"], "mean", undefined or _why_not_within(counts, corpus, least), counts)
    across = _last(record["across"], "dispersion", undefined or _why_not_across(counts), counts)
    # Earlier records say the window beside their definition.
    cut = f"windows of {definition.get('window', record.get('window'))} tokens" if corpus else "prompts whole"
    how = f"{cut}; {_shown(layers) if profile else 'no layer'}; definition {definition['version']}"
    of = record["corpus"]
    chosen = "".join(f", {key} {value}" for key, value in of["selection"].items())
    wraps = f", wraps {record['base_task']}" if record["base_task"] else ""
    return Measured(
        within=within,
        across=across,
        segments="windows" if corpus else "prompts",
        counts=counts,
        min_vectors=least,
        layers=layers,
        profile=profile,
        signals=_signals(record.get("signals")),
        how=plain(how),
        corpus=plain(f"{of['name']}{chosen}{wraps}, hash {str(of['hash'])[:12]}"),
    )


def model_of(record: Any) -> str:
    """Kind and sizes of the model, as far as a record says."""
    model = record.get("model") if isinstance(record, dict) else None
    if not isinstance(model, dict):
        return ""
    parameters = number(model.get("parameters"))
    parts = [
        model.get("model_type"),
        parameters and f"{parameters / 1e6:,.1f} million parameters",
        model.get("layers") and f"{model['layers']} layers of {model.get('hidden_size')}",
        model.get("quantisation") and f"quantised ({model['quantisation']})",
        model.get("peft") and "with an adapter",
    ]
    return plain(", ".join(str(part) for part in parts if part))


def engine_of(record: Any) -> str:
    """What it ran on, as far as a record says."""
    engine = record.get("engine") if isinstance(record, dict) else None
    if not isinstance(engine, dict):
        return ""
    versions = engine.get("versions")
    parts = [
        f"{engine.get('lm_class')} ({engine.get('name')}) in {engine.get('dtype')}",
        engine.get("processes") not in (1, None) and f"{engine['processes']} processes",
        *(f"{name} {version}" for name, version in (versions if isinstance(versions, dict) else {}).items()),
        f"lm-eval-dispersion {record.get('plugin_version')}",
    ]
    return plain(", ".join(str(part) for part in parts if part))


def metrics_of(run: Run, task: str) -> list[Metric]:
    """lm_eval's own metrics of a task, as it gave them; of a corpus bits per byte alone."""
    results = run.content["results"].get(task)
    found = []
    for key, value in results.items() if isinstance(results, dict) else ():
        name, comma, filtered = key.partition(",")
        if not comma or name in _OURS or name.endswith("_stderr") or number(value) is None:
            continue
        shown = name.replace("_", " ") + (f" ({filtered})" if filtered != "none" else "")
        found.append(Metric(plain(shown), float(value), number(results.get(f"{name}_stderr,{filtered}"))))
    bits = [metric for metric in found if metric.name == _OF_A_CORPUS.replace("_", " ")]
    return bits or found


def _signals(signals: Any) -> list[Signal]:
    """Earlier records have none."""
    found = []
    for name, one in (signals or {}).items():
        layers, value, stderr, n = (one[key] for key in ("layers", "mean", "stderr", "n"))
        shown = plain(name.replace("_", " "))
        if layers is not None:
            if not layers:
                continue
            value, stderr, n = value[-1], stderr[-1], n[-1]
            shown += f" at h[{int(layers[-1])}]"
        if (mean := number(value)) is not None:
            found.append(Signal(shown, mean, number(stderr), int(n)))
    return found


def _last(pairs: dict[str, Any] | None, name: str, why: str, counts: dict[str, int]) -> Value:
    if pairs is None or not _list(pairs[name]):
        return Value(None, None, 0, why)
    value, stderr, n = number(pairs[name][-1]), number(pairs["stderr"][-1]), int(pairs["n"][-1])
    if value is None:
        return Value(None, None, n, why)
    return Value(value, stderr, n, "one document" if counts["documents"] < 2 else "not defined")


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"{type(values).__name__} in place of a list")
    return values


def _why_not_within(counts: dict[str, int], corpus: bool, least: int) -> str:
    if not counts["segments"]:
        short = counts.get("short_windows", 0)
        return f"none of {short} windows has {least} vectors" if corpus else "no prompt has two vectors"
    return "vectors of the last layer are zero or not finite" if _bad(counts) else "no two vectors count in a segment"


def _why_not_across(counts: dict[str, int]) -> str:
    if cached := counts["cached_answers"]:
        return f"{cached:,} answers came from --use_cache, which keeps no vectors"
    return "vectors of the last layer are zero or not finite" if _bad(counts) else "fewer than two segments"


def _bad(counts: dict[str, int]) -> int:
    return counts["zero_vectors"] + counts["nonfinite_vectors"]


def _shown(layers: list[int]) -> str:
    return f"h[{layers[0]}] to h[{layers[-1]}]" if len(layers) > 1 else f"h[{layers[0]}] alone"
