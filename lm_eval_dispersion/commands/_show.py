"""``show``: what runs have recorded, for a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lm_eval_dispersion.runs import (
    Measured,
    Metric,
    Run,
    Signal,
    Value,
    complain,
    engine_of,
    find_runs,
    measured,
    metrics_of,
    model_of,
    plain,
)

if TYPE_CHECKING:
    from rich.console import Console

# Where a task's values begin.
_INDENT = 22
_LEFT_OUT = {
    "short_windows": "windows shorter than {min_vectors} vectors",
    "prompts_without_vectors": "prompts without a vector",
    "requests_without_context": "requests without a prompt",
    "zero_vectors": "vectors of zero norm",
    "nonfinite_vectors": "vectors that are not finite",
}


def show(
    results: Annotated[
        list[Path], typer.Argument(help="What lm_eval's --output_path was (searched to its bottom), or a results file.")
    ],
) -> int:
    """The record of each task of some runs: D, counts, how, by layer."""
    from rich.console import Console

    console, shown = Console(highlight=False), 0
    for path in results:
        found = list(find_runs(path, complain))
        if not path.exists():
            complain(f"no file or folder {path}")
        elif path.is_dir() and not found:
            complain(f"no results file of lm_eval below {path}; give what --output_path was")
        for run in found:
            shown += _show_run(console, run)
    if shown:
        console.print("What each number means: docs/results.md", style="dim")
    return 0 if shown else 1


def _show_run(console: Console, run: Run) -> int:
    """How many tasks of it were shown."""
    tasks = list(run.content["configs"])
    without = [task for task in tasks if run.record(task) is None]
    good: list[tuple[str, Measured]] = []
    for task in tasks:
        if task not in without:
            try:
                good.append((task, measured(run.record(task))))
            except ValueError as error:
                complain(f"{run.file}: the record of {task} cannot be read ({error})")
    if good:
        _show_model(console, run, run.record(good[0][0]))
        for task, found in good:
            _show_task(console, run, task, found)
    if without:
        line = f"no dispersion recorded: {', '.join(map(_with_advice, without))}"
        if good:
            console.print(f"\n  {plain(line)}", markup=False, soft_wrap=True)
        else:
            complain(f"{run.file}: {line}")
    if good:
        console.print()
    if not tasks:
        complain(f"{run.file}: a results file without a task")
    return len(good)


def _with_advice(task: str) -> str:
    return task if task.startswith("dispersion_") else f"{task} (wrap it: dispersion_{task})"


def _show_model(console: Console, run: Run, record: Any) -> None:
    from rich.text import Text

    console.print(Text(plain(run.model), style="bold"))
    for line in (model_of(record), engine_of(record), plain(run.file)):
        console.print(Text(line), soft_wrap=True)


def _show_task(console: Console, run: Run, task: str, found: Measured) -> None:
    from rich.text import Text

    width = max(10, console.width - _INDENT)

    def row(label: str, value: str, style: str = "") -> None:
        for i, line in enumerate(Text(value, style).wrap(console, width)):
            head = f"    {label if i == 0 else '':<{_INDENT - 6}}  "
            line.rstrip()
            console.print(Text.assemble((head, "dim"), line), soft_wrap=True)

    console.print()
    console.print(Text(f"  {plain(task)}", style="bold cyan"), soft_wrap=True)
    row("D", _value(found.within, f"{found.segments}, last hidden state"), "bold")
    row("D across", _value(found.across, f"{found.segments}, one vector each"))
    for metric in metrics_of(run, task):
        row(metric.name, _metric(metric))
    if found.signals:
        row("signals", _signals(found.signals))
    row("counts", _counts(found))
    row("measured", found.how)
    row("text", found.corpus)
    says, chart = _profile(found, width)
    row("D by layer", says)
    for line in chart:
        row("", line)
    samples = run.samples(task)
    logged = plain(samples) if samples else "not logged (lm_eval --log_samples)"
    # In one piece, as a path is copied.
    console.print(Text.assemble((f"    {'samples':<{_INDENT - 6}}  ", "dim"), logged), soft_wrap=True)


def _value(found: Value, over: str) -> str:
    n = f"n = {found.n:,} {over}"
    if found.value is None:
        return f"none: {found.why}"
    if found.stderr is None:
        return f"{found.value:.4f}   {n}; no standard error: {found.why}"
    return f"{found.value:.4f} ± {found.stderr:.4f}   {n}"


def _metric(metric: Metric) -> str:
    error = "   lm_eval gives no standard error" if metric.stderr is None else f" ± {metric.stderr:.4f}"
    return f"{metric.value:.4f}{error}"


def _signals(signals: list[Signal]) -> str:
    """Each with its error, and how many documents or windows it is of where the next one is of others."""
    parts = []
    for signal, after in zip(signals, [*signals[1:], None], strict=True):
        error = "" if signal.stderr is None else f" ± {signal.stderr:.4f}"
        n = "" if after is not None and after.n == signal.n else f" (n = {signal.n:,})"
        parts.append(f"{signal.name} {signal.value:.4f}{error}{n}")
    return ", ".join(parts)


def _counts(found: Measured) -> str:
    counts = found.counts
    of = {"documents": "documents", "segments": f"{found.segments} with a D", "vectors": "vectors", "tokens": "tokens"}
    parts = [f"{words} {counts[name]:,}" for name, words in of.items() if name in counts]
    left = [
        f"{words.format(min_vectors=found.min_vectors)} {counts[name]:,}"
        for name, words in _LEFT_OUT.items()
        if counts.get(name)
    ]
    also = [f"answers from a cache {counts['cached_answers']:,}"] if counts["cached_answers"] else []
    if cut := counts.get("truncated_prompts"):
        also.append(f"prompts cut to fit the model {cut:,}")
    return "; ".join([", ".join(parts), f"left out: {', '.join(left) or 'nothing'}", *also])


def _profile(found: Measured, width: int) -> tuple[str, list[str]]:
    """D by layer in a sentence and as a chart."""
    from lm_eval_dispersion.commands._chart import bars

    if not found.profile:
        return "none", []
    if len(found.layers) == 1:
        return "the engine showed the last hidden state alone (docs/vllm.md)", []
    by_layer = list(zip(found.profile, found.layers, strict=True))
    defined = [(value, layer) for value, layer in by_layer if value is not None]
    if not defined:
        return "none", []
    (least, at), (greatest, most) = min(defined), max(defined)
    missing = [f"h[{layer}]" for value, layer in by_layer if value is None]
    says = f"least {least:.4f} at h[{at}], greatest {greatest:.4f} at h[{most}]"
    return says + (f"; none at {', '.join(missing)}" if missing else ""), bars(found.profile, width)
