"""``slices``: the paper's controlled design on labelled tasks, and what it shows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lm_eval_dispersion.runs import Run, complain, plain, runs_at

if TYPE_CHECKING:
    from rich.console import Console

    from lm_eval_dispersion.slices import Estimate, OverTasks, Point, Slices

# Columns of the curve: of a terminal what its other columns leave.
_STRIP, _OTHERS = 34, 62
_NAMES = (("both right", "|m_c|²"), ("one of each", "m_c·m_w"), ("both wrong", "|m_w|²"))


def slices(
    results: Annotated[
        list[Path], typer.Argument(help="What lm_eval's --output_path was (searched to its bottom), or a results file.")
    ],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write one page with the curves.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document in place of tables.")] = False,
) -> int:
    """D across slices of right and wrong answers: what it can show."""
    found = [_Read(run) for run in runs_at(results)]
    for one in found:
        for line in one.said:
            complain(f"{one.run.file}: {line}")
    if json:
        _print_json(found)
    else:
        _print(found)
    if html:
        _write(found, html)
    return 0 if any(one.slices for one in found) else 1


class _Read:
    """What a run has of slices."""

    def __init__(self, run: Run) -> None:
        from lm_eval_dispersion.slices import over_tasks, read_slices

        self.run = run
        self.slices: list[Slices] = []
        self.without: dict[str, str] = {}
        for task in run.content["configs"]:
            try:
                self.slices.append(read_slices(run, task))
            except ValueError as error:
                self.without[plain(task)] = str(error)
        reasons: dict[str, list[str]] = {}
        for task, reason in self.without.items():
            reasons.setdefault(reason, []).append(task)
        self.said = [f"no slices of {_listed(tasks)}: {why}" for why, tasks in reasons.items()]
        if not run.content["configs"]:
            self.said.append("a results file without a task")
        self.together: OverTasks | None = None
        try:
            self.together = over_tasks(self.slices)
        except ValueError as error:
            self.said.append(str(error))


def _listed(tasks: list[str]) -> str:
    more = f" and {len(tasks) - 3} more" if len(tasks) > 3 else ""
    return f"{', '.join(tasks[:3])}{more}"


def _print(found: list[_Read]) -> None:
    from rich.console import Console
    from rich.text import Text

    from lm_eval_dispersion.slices import CURVE

    console = Console(highlight=False)
    some = [one for one in found if one.slices]
    for one in some:
        console.print(Text(plain(one.run.model), style="bold"), soft_wrap=True)
        console.print(Text(plain(one.run.file)), soft_wrap=True)
        for task in one.slices:
            _print_task(console, task)
        if one.together is not None:
            console.print(f"\n  {_over(one.together)}", markup=False)
        console.print()
    if some:
        console.print(f"{CURVE} docs/slices.md", style="dim", markup=False)


def _print_task(console: Console, task: Slices) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from lm_eval_dispersion.slices import among, conclusion, percent, shape, spearman_warning

    n = task.right + task.wrong
    console.print()
    console.print(Text(f"  {task.task}", style="bold cyan"), soft_wrap=True)
    left = f", {task.left_out} left out" if task.left_out else ""
    share = percent(task.right / n)
    _say(console, f"{task.right} of {n} right by {task.metric} ({share}){left}; h[{task.layer}] at each prompt's end")
    numbers = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for (pairs, symbol), one in zip(_NAMES, task.cosines, strict=True):
        numbers.add_row(f"mean cosine, {pairs}", symbol, _estimate(one))
    numbers.add_row("difference", "|m_w|² - |m_c|²", _estimate(task.difference, "+"))
    console.print(Padding(numbers, (0, 0, 0, 4), expand=False))
    _say(console, f"the curve {shape(task)}")
    shuffles = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("shuffled among", "p", "mean difference", "documents shuffled"):
        shuffles.add_column(title, justify="left" if title == "shuffled among" else "right")
    for s in task.shuffles:
        p, mean = "-" if s.p is None else f"{s.p:.3f}", "-" if s.mean is None else f"{s.mean:+.4f}"
        shuffles.add_row(among(s), p, mean, f"{s.shuffled} of {n}")
    console.print(Padding(shuffles, (1, 0, 1, 4), expand=False))
    curve = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    titles = ("right", f"{task.seeds} slices of {task.size}", "all such slices", "● slices  ┼ all  ─ 95 %")
    for title in titles:
        curve.add_column(title, justify="right" if title == "right" else "left", no_wrap=True)
    width = max(10, min(_STRIP, console.width - _OTHERS))
    ends = _ends(task.points)
    for point in task.points:
        drawn = f"{point.slices:.4f} ± {point.stderr:.4f}"
        curve.add_row(percent(point.right), drawn, _estimate(point.expected), _strip(point, ends, width))
    console.print(Padding(curve, (0, 0, 1, 4), expand=False))
    _say(console, spearman_warning(task))
    _say(console, conclusion(task), "bold")


def _say(console: Console, line: str, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(line, style), (0, 0, 0, 4), expand=False))


def _estimate(one: Estimate, sign: str = "") -> str:
    if one.low is None or one.high is None:
        return f"{one.value:{sign}.4f}"
    return f"{one.value:{sign}.4f} [{one.low:{sign}.4f}, {one.high:{sign}.4f}]"


def _over(together: OverTasks) -> str:
    return (
        f"Over {together.tasks} tasks the difference |m_w|² - |m_c|² is {together.mean:+.4f} ± {together.stderr:.4f} "
        f"[{together.low:+.4f}, {together.high:+.4f}], the mean of tasks that count alike with its standard error and "
        f"95 % interval over tasks; it is positive in {together.positive}."
    )


def _ends(points: tuple[Point, ...]) -> tuple[float, float]:
    """Of all that is drawn."""
    every = [d for p in points for d in (p.slices, p.expected.value, p.expected.low, p.expected.high) if d is not None]
    return min(every), max(every)


def _strip(point: Point, ends: tuple[float, float], width: int) -> str:
    """One share's D as marks between the least and the greatest of all."""
    least, greatest = ends
    cells = [" "] * width

    def at(d: float) -> int:
        return round((d - least) / ((greatest - least) or 1) * (width - 1))

    one = point.expected
    if one.low is not None and one.high is not None:
        for cell in range(at(one.low), at(one.high) + 1):
            cells[cell] = "─"
    cells[at(one.value)] = "┼"
    cells[at(point.slices)] = "●"
    return "".join(cells)


def _print_json(found: list[_Read]) -> None:
    import json

    from lm_eval_dispersion.slices import conclusion, shape

    def task(one: Slices) -> dict[str, Any]:
        words = {"spearman": one.spearman, "shape": shape(one), "conclusion": conclusion(one)}
        return {**{key: value for key, value in asdict(one).items() if key != "definition"}, **words}

    runs = [
        {
            "file": str(one.run.file),
            "model": plain(one.run.model),
            "tasks": [task(found) for found in one.slices],
            "without": one.without,
            "over_tasks": one.together and asdict(one.together),
        }
        for one in found
    ]
    print(json.dumps({"runs": runs}, indent=2, ensure_ascii=False, allow_nan=False))


def _write(found: list[_Read], file: Path) -> None:
    from lm_eval_dispersion.pages import render, write_beside
    from lm_eval_dispersion.slices import CURVE, among, conclusion, shape, spearman_warning

    runs = [
        {
            "model": plain(one.run.model),
            "file": plain(one.run.file),
            "tasks": [{"slices": task, "ends": _ends(task.points)} for task in one.slices],
            "over": one.together and _over(one.together),
            "said": one.said,
        }
        for one in found
    ]
    words = {"conclusion": conclusion, "shape": shape, "spearman_warning": spearman_warning, "among": among}
    write_beside(file, render("slices.html.j2", runs=runs, curve_is=CURVE, estimate=_estimate, names=_NAMES, **words))
