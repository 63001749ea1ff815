"""The scripts of an example as modules, as they see each other when one of them is run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@contextmanager
def scripts(folder: str, names: Sequence[str]) -> Iterator[SimpleNamespace]:
    """Those of ``examples/FOLDER``, by name; as for a script, its own folder comes first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES / folder))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
