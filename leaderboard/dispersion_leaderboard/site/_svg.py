"""Charts as files: Vega-Lite's own rendering at the build, and beside it the script that makes the picture live."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispersion_leaderboard.site._output import Output, script_item
from dispersion_leaderboard.site._workers import Workers
from dispersion_leaderboard.vega import VERSION, picture

Spec = dict[str, Any]


@dataclass(frozen=True)
class Caption:
    """What stands under a chart, and the room it takes."""

    text: str
    width: int
    height: int


class ChartFiles:
    """Writes charts; a picture that was made before is taken from the cache."""

    def __init__(self, output: Output, cache: Path, workers: Workers) -> None:
        self._output, self._cache, self._workers = output, cache / "charts", workers

    def write(self, charts: dict[str, tuple[str, Spec]]) -> dict[str, Caption]:
        """Writes each (caption, specification) under its name."""
        scripts = {name: script_item("CHARTS", name, spec) for name, (_, spec) in charts.items()}
        pictures = self._pictures({name: spec for name, (_, spec) in charts.items()}, scripts)
        for name, script in scripts.items():
            self._output.write(f"charts/{name}.svg", pictures[name])
            self._output.write(f"charts/{name}.js", script)
        return {name: Caption(text, *_size(pictures[name])) for name, (text, _) in charts.items()}

    def _pictures(self, specs: dict[str, Spec], scripts: dict[str, str]) -> dict[str, str]:
        files = {name: self._file(script) for name, script in scripts.items()}
        new = [name for name, file in files.items() if not file.is_file()]
        drawn = self._workers.map(picture, [specs[name] for name in new])
        for name, svg in zip(new, drawn, strict=True):
            files[name].parent.mkdir(parents=True, exist_ok=True)
            beside = files[name].with_suffix(".new")
            beside.write_text(svg, encoding="utf-8")
            beside.replace(files[name])
        return {name: file.read_text(encoding="utf-8") for name, file in files.items()}

    def _file(self, script: str) -> Path:
        text = f"{script}{VERSION}"
        return self._cache / f"{hashlib.sha256(text.encode()).hexdigest()}.svg"


def _size(svg: str) -> tuple[int, int]:
    width, height = (re.search(rf'{name}="([0-9.]+)"', svg) for name in ("width", "height"))
    assert width and height
    return round(float(width[1])), round(float(height[1]))
