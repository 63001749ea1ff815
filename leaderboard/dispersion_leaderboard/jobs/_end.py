"""How a job on the Hub's machines says how it has ended, and what is made of one that could not say it any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from huggingface_hub import JobInfo, JobStage

from dispersion_leaderboard.jobs._service import Spec
from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running import Outcome, scrubbed

_MARK = "dispersion-outcome: "
# So no line of a model's or a library's can be taken for the outcome.
_MARGIN = "  "


def told(outcome: Outcome) -> str:
    """What a job prints at its end: the log, and on the last line the outcome."""
    log = "".join(f"{_MARGIN}{line}\n" for line in outcome.log.splitlines())
    return log + _MARK + json.dumps({"reason": outcome.reason, "detail": outcome.detail})


def heard(lines: Sequence[str]) -> Outcome | None:
    """What ``told`` printed; None where a job's output has not got so far."""
    last = next((line for line in reversed(lines) if line.startswith(_MARK)), "")
    log = "\n".join(line.removeprefix(_MARGIN) for line in lines if not line.startswith(_MARK))
    try:
        found = json.loads(last.removeprefix(_MARK))
        reason = None if found["reason"] is None else Reason(found["reason"])
        return Outcome(reason=reason, detail=clean(found["detail"]), log=scrubbed(log))
    except (ValueError, TypeError, KeyError):
        return None


def outcome_of(job: JobInfo, lines: Sequence[str], spec: Spec) -> Outcome:
    """Of a job that has ended, with what it printed; a run that failed is believed only where it says why."""
    said = heard(lines)
    if said is not None and (said.reason is not None or job.status.stage == JobStage.COMPLETED):
        return said
    log = scrubbed("\n".join(lines))
    return Outcome(log=log) if job.status.stage == JobStage.COMPLETED else replace(_guessed(job, spec), log=log)


def _guessed(job: JobInfo, spec: Spec) -> Outcome:
    said = clean(job.status.message or "")
    ran = (job.durations.running_secs if job.durations else None) or 0
    if "timeout" in said.lower() or "timed out" in said.lower() or ran >= spec.seconds:
        return Outcome(reason=Reason.TIMEOUT, detail=f"longer than the job's {spec.seconds} s")
    if "oom" in said.lower():
        return Outcome(reason=Reason.OOM, detail=f"more memory than a job on {spec.flavor} has")
    why = f"the job ended as {str(job.status.stage).lower()}"
    return Outcome(reason=Reason.INFRASTRUCTURE, detail=f"{why}: {said}" if said else why)
