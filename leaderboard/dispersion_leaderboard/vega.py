"""The chart library: draws pictures at the build, and is the script that makes them live.

Alone in a module, so that the processes that draw load nothing else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

_VEGA_LITE = "6.4"
# The dark counterparts of the colours that the specifications give to text, axes and grid.
_DARK = (
    '<style>@media (prefers-color-scheme:dark){text[fill="#1f2937"]{fill:#e5e7eb}'
    'line[stroke="#e5e7eb"]{stroke:#374151}line[stroke="#9ca3af"]{stroke:#6b7280}}</style>'
)
_NUMBERED = re.compile(r"\b(gradient_|clip)\d+\b")
VERSION = f"vl-convert {version('vl-convert-python')}, Vega-Lite {_VEGA_LITE}, {_DARK}"
"""Names all that makes a picture besides its specification."""


def picture(spec: dict[str, Any]) -> str:
    """A Vega-Lite specification as SVG, in colours that follow the reader's light or dark mode."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
    end = svg.index(">") + 1
    return _numbered_anew(svg[:end] + _DARK + svg[end:])


def _numbered_anew(svg: str) -> str:
    """Gradients and clips are numbered over all pictures of a process; from 0 in each, the same picture is the same."""
    names: dict[str, str] = {}
    return _NUMBERED.sub(lambda found: names.setdefault(found.group(), f"{found[1]}{len(names)}"), svg)


def javascript(cache: Path) -> str:
    """Vega, Vega-Lite and vega-embed in one script, of the release that draws the pictures.

    Bundling takes a second, so the script is kept.
    """
    file = cache / f"vega-{version('vl-convert-python')}-{_VEGA_LITE}.js"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_text(_bundled(), encoding="utf-8")
        beside.replace(file)
    return file.read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _bundled() -> str:
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE)
    return bundle
