"""What the child process of a download runs: exactly the files that its parent has admitted."""

from __future__ import annotations

import json
import os
import sys
import threading

from huggingface_hub import snapshot_download

from dispersion_leaderboard.hub import REFUSALS


def main(asked: str) -> None:
    """Fetches files into a cache.

    Args:
        asked: as JSON, ``model``, ``sha``, ``files`` (whose names hold no wildcard) and ``cache``.

    Raises:
        SystemExit: where that fails, in one line.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    wanted = json.loads(asked)
    try:
        snapshot_download(
            wanted["model"], revision=wanted["sha"], cache_dir=wanted["cache"], allow_patterns=wanted["files"]
        )
    except (*REFUSALS, OSError) as error:
        raise SystemExit(" ".join(str(error).split()) or type(error).__name__) from error


def _end_with_parent() -> None:
    """Nobody would watch any more."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
