"""Jinja templates with escaping always on, and what they need to know."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jinja2

from dispersion_leaderboard.site import _fields, _words

TITLE = "Representation dispersion leaderboard"
_HERE = Path(__file__).parent
_VENDOR = _HERE / "assets" / "vendor"


class Pages:
    """Renders templates by name.

    Args:
        queue: whether there is a page of the queue to lead to.
        measured: whether there are the pages that results make.
    """

    def __init__(self, *, queue: bool = False, measured: bool = True) -> None:
        self.queue = queue
        # Escaping is always on: names, cards and results files are anyone's.
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "site_title": TITLE,
            "has_queue": queue,
            "measured": measured,
            "text_of": _fields.text_of,
            "count_text": _fields.count_text,
            "estimate": _words.estimate,
        }

    def render(self, template: str, path: str, **context: Any) -> str:
        """A page that will lie at ``path`` below the site's root."""
        root = "../" * path.count("/")
        return self._environment.get_template(template).render(root=root, path=path, **context) + "\n"


def assets() -> dict[str, bytes]:
    """Style, scripts and the bundled libraries, by their path in the site.

    Raises:
        SystemExit: where the package was not built as a wheel, which is what bundles the libraries.
    """
    if not _VENDOR.is_dir():
        raise SystemExit(
            "leaderboard: the bundled DataTables is missing; install the package again with `pip install .`"
        )
    found = [*(_HERE / "assets").glob("*.*"), *_VENDOR.glob("*.*")]
    return {file.relative_to(_HERE).as_posix(): file.read_bytes() for file in sorted(found) if file.is_file()}


def code_digest() -> str:
    """Names all that makes a page besides its records: pages kept from another version are made again."""
    sources = [*_HERE.rglob("*.py"), *_HERE.rglob("*.html")]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sorted(sources))).hexdigest()
