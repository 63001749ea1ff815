"""The charts as Vega-Lite specifications: one text for the picture made at the build and for the live chart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dispersion_leaderboard.board import Board
from dispersion_leaderboard.predictors import SignalFit, TaskFit

Spec = dict[str, Any]
Floats = NDArray[np.float64]

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_ACCENT, _OTHER, _MUTED = "#0b6bcb", "#b35900", "#6b7280"
_SHAPES = 8
_MANY = 200


def accuracy_by_size(board: Board) -> Spec | None:
    """Mean accuracy over chance against parameters, and its Pareto frontier; None without two models to show."""
    parameters = board.entries["parameters"].astype(float).to_numpy()
    there = np.flatnonzero(np.isfinite(board.ranks.score) & np.isfinite(parameters))
    points = _models(
        board, there, parameters=parameters[there], **_bars(board.ranks.score[there], board.ranks.stderr[there])
    )
    if len(points) < 2:
        return None
    frontier, best = [], -math.inf
    for point in sorted(points, key=lambda p: (p["parameters"], -p["value"])):
        if point["value"] > best:
            best = point["value"]
            frontier.append(point)
    x = {
        "field": "parameters",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False, "padding": 10},
        "axis": {"labelExpr": "replace(format(datum.value, '~s'), 'G', 'B')", "tickCount": 6},
        "title": "parameters",
    }
    y = _points("value", "mean accuracy over chance, %")
    return _spec(
        {"values": points},
        [
            {
                "data": {"values": frontier},
                "mark": {"type": "line", "interpolate": "step-after", "color": _OTHER, "strokeWidth": 1.5},
                "encoding": {"x": x, "y": {**y, "scale": {"zero": False}}},
            },
            *_error_bars(points, x),
            {
                "mark": {"type": "point", "filled": True, "color": _ACCENT, "size": 45, "opacity": 0.75},
                "encoding": {"x": x, "y": y, "tooltip": _tooltip("model", "family", "parameters", "value")},
            },
        ],
    )


def dispersion_against_accuracy(board: Board, accuracy: int, signal: int, fit: SignalFit | None) -> Spec | None:
    """A corpus's D against a benchmark's accuracy, with the fit and its interval where there is one."""
    there = np.flatnonzero(np.isfinite(board.values[:, signal]) & np.isfinite(board.values[:, accuracy]))
    points = _models(
        board,
        there,
        D=np.round(board.values[there, signal], 5),
        **_bars(board.values[there, accuracy], board.stderr[there, accuracy], within=(0, 1)),
    )
    if len(points) < 2:
        return None
    x = {"field": "D", "type": "quantitative", "scale": {"zero": False}, "title": board.columns[signal].label}
    y = _points("value", f"accuracy on {board.columns[accuracy].label}, %")
    layers = []
    if fit is not None and fit.curve is not None:
        curve = [
            {
                "D": round(float(d), 5),
                "value": round(100 * float(p), 3),
                "low": round(100 * float(a), 3),
                "high": round(100 * float(b), 3),
            }
            for d, p, a, b in zip(fit.curve.x, fit.curve.predicted, fit.curve.low, fit.curve.high, strict=True)
        ]
        if all(math.isfinite(c["low"]) and math.isfinite(c["high"]) for c in curve):
            layers.append(
                {
                    "data": {"values": curve},
                    "mark": {"type": "area", "color": _ACCENT, "opacity": 0.15},
                    "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
                }
            )
        else:
            for c in curve:
                del c["low"], c["high"]
        layers.append(
            {"data": {"values": curve}, "mark": {"type": "line", "color": _ACCENT}, "encoding": {"x": x, "y": y}}
        )
    layers += [*_error_bars(points, x), _family_points(points, x, y, _tooltip("model", "family", "D", "value"))]
    return _spec({"values": points}, layers)


def predicted_against_measured(board: Board, fit: TaskFit) -> Spec | None:
    """Every model predicted with its family left out, against what was measured; the diagonal is perfection."""
    rows, measured, predicted, low, high = _predicted(board, fit)
    points = _models(board, rows, measured=measured, value=predicted, low=low, high=high)
    if len(points) < 2:
        return None
    least = min(min(p["measured"], p["value"]) for p in points)
    most = max(max(p["measured"], p["value"]) for p in points)
    ends = [{"measured": v, "value": v} for v in (least, most)]
    x = {"field": "measured", "type": "quantitative", "scale": {"zero": False}, "title": "measured accuracy, %"}
    y = _points("value", "predicted accuracy, %")
    diagonal: Spec = {
        "data": {"values": ends},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": _MUTED},
        "encoding": {"x": x, "y": y},
    }
    shown = _tooltip("model", "family", "measured", "value")
    return _spec({"values": points}, [diagonal, *_error_bars(points, x), _family_points(points, x, y, shown)])


def residuals(board: Board, fit: TaskFit) -> Spec | None:
    """What is left of every model's accuracy when its prediction, made with its family left out, is taken away."""
    rows, measured, predicted, _, _ = _predicted(board, fit)
    points = _models(board, rows, predicted=predicted, residual=np.round(measured - predicted, 3))
    if len(points) < 2:
        return None
    x = {"field": "predicted", "type": "quantitative", "scale": {"zero": False}, "title": "predicted accuracy, %"}
    y = _points("residual", "measured less predicted, points")
    zero: Spec = {
        "data": {"values": [{"residual": 0}]},
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": _MUTED},
        "encoding": {"y": y},
    }
    shown = _tooltip("model", "family", "predicted", "residual")
    return _spec({"values": points}, [zero, _family_points(points, x, y, shown)])


def signals(fits: list[TaskFit]) -> Spec | None:
    """How much less each signal errs than the mean, by benchmark; None where nothing was fitted."""
    cells = []
    for fit in fits:
        for signal in fit.signals:
            mae, base = signal.by_family.mae.value, signal.baseline_mae.value
            if signal.kind == "baseline" or not (math.isfinite(mae) and math.isfinite(base) and base > 0):
                continue
            gain = 100 * (1 - mae / base)
            cells.append(
                {
                    "task": fit.task,
                    "signal": signal.label,
                    "gain": round(gain, 2),
                    "shown": f"{gain:+.0f}" if round(gain) else "0",
                    "MAE": round(mae, 3),
                    "mean": round(base, 3),
                    "models": signal.by_family.n_models,
                    "families": signal.by_family.n_families,
                }
            )
    if not cells:
        return None
    x = {
        "field": "task",
        "type": "nominal",
        "title": None,
        "axis": {"orient": "top", "labelAngle": -30, "labelLimit": 260},
    }
    order = list(dict.fromkeys(c["signal"] for c in cells))
    y = {"field": "signal", "type": "nominal", "title": None, "sort": order, "axis": {"labelLimit": 480}}
    color = {
        "field": "gain",
        "type": "quantitative",
        "title": "MAE below the mean's, %",
        "scale": {
            "domain": [-50, 0, 50],
            "range": ["#f0a868", "#f4f4f5", "#7db7ef"],
            "interpolate": "rgb",
            "clamp": True,
        },
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": "#ffffff"},
            "encoding": {
                "x": x,
                "y": y,
                "color": color,
                "tooltip": _tooltip("task", "signal", "MAE", "mean", "models", "families"),
            },
        },
        {
            "mark": {"type": "text", "color": "#111827", "fontSize": 11},
            "encoding": {"x": x, "y": y, "text": {"field": "shown"}},
        },
    ]
    tasks = len({c["task"] for c in cells})
    return _spec({"values": cells}, layers) | {"width": {"step": max(48, 320 // tasks)}, "height": {"step": 22}}


def _spec(data: Spec, layers: list[Spec]) -> Spec:
    return {
        "$schema": _SCHEMA,
        "width": 560,
        "height": 320,
        "data": data,
        "layer": layers,
        "config": {
            "background": "transparent",
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {
                "gridColor": "#e5e7eb",
                "domainColor": "#9ca3af",
                "tickColor": "#9ca3af",
                "labelColor": "#1f2937",
                "titleColor": "#1f2937",
                "titleFontWeight": "normal",
                "labelFontSize": 12,
                "titleFontSize": 12,
            },
            "legend": {"labelColor": "#1f2937", "titleColor": "#1f2937", "labelLimit": 200, "symbolLimit": 40},
        },
    }


def _family_points(points: list[Spec], x: Spec, y: Spec, tooltip: list[Spec]) -> Spec:
    """Points with a colour and a shape a family, while there are few enough to tell apart."""
    encoding: Spec = {"x": x, "y": y, "tooltip": tooltip}
    mark: Spec = {"type": "point", "filled": True, "size": 55, "opacity": 0.8}
    if len({p["family"] for p in points}) <= _SHAPES:
        family = {"field": "family", "type": "nominal", "title": "family"}
        encoding |= {"color": {**family, "scale": {"scheme": "dark2"}}, "shape": family}
    else:
        mark["color"] = _ACCENT
    return {"mark": mark, "encoding": encoding}


def _error_bars(points: list[Spec], x: Spec) -> list[Spec]:
    """Intervals of each point, where there are few enough to be told apart."""
    if len(points) > _MANY:
        return []
    y, y2 = {"field": "low", "type": "quantitative"}, {"field": "high"}
    return [{"mark": {"type": "rule", "color": _MUTED, "opacity": 0.35}, "encoding": {"x": x, "y": y, "y2": y2}}]


def _models(board: Board, rows: NDArray[np.int64], **numbers: Floats) -> list[Spec]:
    """A point a model with its name, family and numbers; a number that is not defined is left out.

    In the order of the names: another model's result, which changes ranks, does not change the chart.
    """
    titles, families = (board.entries[name].iloc[rows].tolist() for name in ("title", "family"))
    if len(rows) > _MANY:
        numbers = {name: values for name, values in numbers.items() if name not in ("low", "high")}
    names = ("model", "family", *numbers)
    lists = [values.tolist() for values in numbers.values()]
    points = [dict(zip(names, row, strict=True)) for row in sorted(zip(titles, families, *lists, strict=True))]
    if all(np.isfinite(values).all() for values in numbers.values()):
        return points
    return [{k: v for k, v in p.items() if not (isinstance(v, float) and math.isnan(v))} for p in points]


def _predicted(board: Board, fit: TaskFit) -> tuple[NDArray[np.int64], Floats, Floats, Floats, Floats]:
    """Rows of the board of what was measured and predicted; both, and the ends of the interval, in points."""
    place = {entry: i for i, entry in enumerate(board.entries["entry"])}
    both = [p for p in fit.predictions if p.measured is not None and math.isfinite(p.measured + p.predicted)]
    numbers = np.array([(p.measured, p.predicted, p.low, p.high) for p in both], dtype=float).reshape(-1, 4)
    measured, predicted, low, high = np.round(100 * numbers, 3).T
    return np.array([place[p.entry] for p in both], dtype=np.int64), measured, predicted, low, high


def _bars(values: Floats, stderr: Floats, within: tuple[float, float] = (-math.inf, math.inf)) -> dict[str, Floats]:
    """Shares and their 95 % intervals, in points."""
    half = 1.959964 * np.nan_to_num(stderr)
    ends = {"value": values, "low": (values - half).clip(*within), "high": (values + half).clip(*within)}
    return {name: np.round(100 * end, 3) for name, end in ends.items()}


def _ends(low: float, high: float) -> Spec:
    if not (math.isfinite(low) and math.isfinite(high)):
        return {}
    return {"low": round(100 * float(low), 3), "high": round(100 * float(high), 3)}


def _points(field: str, title: str | None) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False}}


def _tooltip(*fields: str) -> list[Spec]:
    return [{"field": name, "title": {"value": "accuracy, %"}.get(name, name)} for name in fields]
