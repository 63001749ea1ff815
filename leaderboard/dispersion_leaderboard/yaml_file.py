"""A YAML file that a user has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_yaml(file: Path) -> Any:
    """What a file says; None where it is empty.

    Raises:
        SystemExit: where it cannot be read or is not YAML, in one line.
    """
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SystemExit(f"leaderboard: cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SystemExit(f"leaderboard: {file} is not YAML: {' '.join(str(error).split())}") from error
