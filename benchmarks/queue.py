"""``python -m benchmarks.queue``: many workers on a Hub that fails now and then; each request must end exactly once."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from dispersion_leaderboard.commands import main as main_of_the_leaderboard

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Runs the load of the tests in full, prints its figures, and builds the leaderboard from what was stored."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--kills", type=int, default=50)
    arguments = parser.parse_args()
    # The stand-in of the Hub and the workers are the tests' own.
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "leaderboard")]
    from queue_load import Load, run

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = Load(arguments.requests, arguments.workers, arguments.kills)
        watch, figures = run(load, folder)
        print(json.dumps(figures, indent=1), flush=True)
        began = time.monotonic()
        main_of_the_leaderboard(
            [
                "build",
                "--results",
                str(folder / "results"),
                "--queue",
                str(folder / "queue"),
                "--out",
                str(folder / "s"),
            ]
        )
        print(f"built in {time.monotonic() - began:.0f} s")
    once = len(watch.ended) == load.requests and set(watch.ended.values()) == {1} and set(watch.files.values()) == {1}
    print("every request ended exactly once" if once and not watch.wrong else f"WRONG: {watch.wrong[:10]}")
    sys.exit(0 if once and not watch.wrong else 1)


if __name__ == "__main__":
    main()
