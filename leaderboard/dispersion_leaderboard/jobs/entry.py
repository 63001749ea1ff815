"""What a job on the Hub's machines runs: one unit, whose results it puts into the store by itself."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from dispersion_leaderboard.hub import Refused
from dispersion_leaderboard.jobs._end import told
from dispersion_leaderboard.jobs._service import RESULTS, UNIT
from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running import Outcome, Unit, evaluate
from dispersion_leaderboard.store import Results, open_tree

_ATTEMPTS = 4


def main() -> int:
    """Runs the unit, and says on the last line of its output how it ended.

    Returns:
        The exit status: 0 where the results are in the store, 3 where the model is at fault, 1 where it is not.
    """
    unit = Unit.from_json(json.loads(os.environ[UNIT]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="dispersion-") as scratch:
        outcome = evaluate(unit, Path(scratch), stop)
    if outcome.reason is None:
        outcome = _saved(unit, outcome, os.environ[RESULTS])
    print(told(outcome), flush=True)
    if outcome.reason is None:
        return 0
    return 1 if outcome.reason.retried else 3


def _saved(unit: Unit, outcome: Outcome, place: str) -> Outcome:
    """Puts the results into the store; a store that asks to wait is waited for, rather than running it all again."""
    saving = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, Refused) and error.after is not None),
        wait=_asked_for,
        stop=stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    try:
        saving(lambda: Results(open_tree(place)).save({(unit.request.key, unit.group): outcome.files}))
    except (Refused, SystemExit) as error:
        detail = clean(f"results were not stored: {error}")
        return replace(outcome, files={}, reason=Reason.INFRASTRUCTURE, detail=detail)
    return outcome


def _asked_for(state: RetryCallState) -> float:
    """Seconds, by the store."""
    refused = state.outcome.exception() if state.outcome else None
    assert isinstance(refused, Refused)
    return refused.after or 0.0


if __name__ == "__main__":
    sys.exit(main())
