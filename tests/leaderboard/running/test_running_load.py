"""A small form of ``python -m benchmarks.queue``: faults, races and kills, and every request ends exactly once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from dispersion_leaderboard.commands import main
from dispersion_leaderboard.requests import State
from queue_load import Load, run


@pytest.mark.slow
def test_every_request_ends_exactly_once_whatever_the_hub_and_whoever_is_killed(tmp_path: Path) -> None:
    load = Load(requests=200, workers=5, kills=6, rate=0.03, commits_per_hour=20_000, lease=45, seconds=400)
    watch, figures = run(load, tmp_path)
    assert watch.wrong == []
    assert set(watch.ended.values()) == {1} and len(watch.ended) == load.requests
    finished = {key for key, entry in watch.entries.items() if entry.state is State.FINISHED}
    assert {part for part in watch.files if part.split("/")[0] in finished} == {
        f"{key}/{group}" for key in finished for group in ("task_a", "task_b")
    }
    assert set(watch.files.values()) == {1}
    assert (figures["killed"], figures["tracebacks"]) == (load.kills, 0)
    main(
        [
            "build",
            "--results",
            str(tmp_path / "results"),
            "--queue",
            str(tmp_path / "queue"),
            "--out",
            str(tmp_path / "site"),
        ]
    )
    table = pd.read_parquet(tmp_path / "site" / "data" / "records.parquet")
    assert set(table["model"]) >= {watch.entries[key].model for key in finished}
    assert (tmp_path / "site" / "queue.html").is_file()
