"""Templates filled in, and files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lm_eval_dispersion import __version__
from lm_eval_dispersion._errors import TaskError


def render(template: str, **values: Any) -> str:
    """The page of a template in this room, ``NAME.html.j2``, which extends ``base.html.j2``."""
    environment = Environment(
        loader=PackageLoader("lm_eval_dispersion.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **values)


def write_beside(file: Path, text: str) -> None:
    """Writes a file beside where it belongs and renames it there, so that nothing half-written is ever seen.

    Raises:
        TaskError: where it cannot be written, in one line; what stood there before is untouched.
    """
    beside: Path | None = None
    try:
        with NamedTemporaryFile(
            "w", encoding="utf-8", errors="replace", dir=file.parent, prefix=f".{file.name}.", delete=False
        ) as part:
            beside = Path(part.name)
            part.write(text)
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)  # a temporary file is for its owner alone
        beside.replace(file)
    except OSError as error:
        if beside is not None:
            beside.unlink(missing_ok=True)
        raise TaskError(f"cannot write {file}: {error.strerror}") from None
