"""The samples of a task as lm_eval logged them, one document after another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lm_eval_dispersion._errors import TaskError

# A progress bar is worth its line from here on.
_SECONDS = 2


def read_samples(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ``samples_*.jsonl``, each an object with ``doc_id``, ``doc``, ``target``, ``arguments``, ....

    A task with several filters has a document once a filter (``filter``). Shows progress where it takes long.

    Raises:
        TaskError: for a file that cannot be read or a line that is no object of JSON, in one line that names it.
    """
    try:
        with (
            file.open("rb") as lines,
            tqdm(total=file.stat().st_size, desc=file.name, unit="B", unit_scale=True, delay=_SECONDS) as bar,
        ):
            for n, line in enumerate(lines, start=1):
                bar.update(len(line))
                try:
                    sample = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise TaskError(f"{file}: line {n} is not JSON ({error}); was its run cut off?") from None
                if not isinstance(sample, dict):
                    raise TaskError(f"{file}: line {n} is no sample of lm_eval, which is an object")
                yield sample
    except OSError as error:
        raise TaskError(f"cannot read {file}: {error.strerror}") from None
