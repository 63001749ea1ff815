"""D by layer as a small picture on a model's page: too many of them for the chart library's 20 ms each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from markupsafe import Markup

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 200, 46, 8, 8, 30
_Z = 1.96


def draw(row: dict[str, Any]) -> dict[str, Any]:
    """What the template needs: sizes, and fragments of SVG that hold numbers only."""
    mean = np.asarray(row["profile"], dtype=float)
    stderr = np.nan_to_num(np.asarray(row["profile_stderr"], dtype=float))
    there = np.isfinite(mean)
    if not there.any():
        mean, there = np.zeros(len(mean)), np.ones(len(mean), dtype=bool)
    upper, lower = mean + _Z * stderr, mean - _Z * stderr
    low = math.floor(10 * float(np.nanmin(lower))) / 10
    high = max(math.ceil(10 * float(np.nanmax(upper))) / 10, low + 0.1)
    x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * np.arange(len(mean)) / max(len(mean) - 1, 1)

    def y(values: Any) -> Any:
        return _TOP + (_HEIGHT - _BOTTOM - _TOP) * (1 - (values - low) / (high - low))

    band = _points(np.concatenate([x[there], x[there][::-1]]), np.concatenate([y(upper)[there], y(lower)[there][::-1]]))
    lines = [(float(y(v)), f"{v:.1f}") for v in np.linspace(low, high, round((high - low) * 10) + 1)]
    step = max(1, round((len(mean) - 1) / 8))
    grid = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="y" x="{_LEFT - 6}" y="{at:.1f}">{text}</text>'
        for at, text in lines
    ] + [
        f'<text class="x" x="{x[layer]:.1f}" y="{_HEIGHT - _BOTTOM + 18}">{layer}</text>'
        for layer in range(0, len(mean), step)
    ]
    return {
        "task": row["task"],
        "last": len(mean) - 1,
        "width": _WIDTH,
        "height": _HEIGHT,
        "grid": Markup("".join(grid)),
        "band": band,
        "line": _points(x[there], y(mean)[there]),
    }


def _points(x: Any, y: Any) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
