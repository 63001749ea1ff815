"""One unit, end to end: the model is fetched, lm_eval run in a child process, and what it wrote looked at."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from dispersion_leaderboard.admission import Refused
from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running import _child, _download
from dispersion_leaderboard.running._scrub import scrubbed
from dispersion_leaderboard.running._unit import Outcome, Unit
from dispersion_leaderboard.running._why import why

_LARGEST = 64 * 2**20
"""Bytes of a results file."""
_FETCHING = threading.Lock()
"""Two units of one model would fetch it twice at the same time."""
_KEPT = re.compile(
    r"PATH|LANG|LC_\w+|TZ|LD_LIBRARY_PATH|SYSTEMROOT|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|NO_PROXY|no_proxy"
    r"|(?:CUDA|NVIDIA|ROCR|HIP|HSA|NCCL|OMP|MKL|VLLM|PYTORCH|TORCH)_\w+"
    r"|HF_(?:ENDPOINT|HUB_OFFLINE|DATASETS_OFFLINE|HUB_DISABLE_XET|HUB_ETAG_TIMEOUT|HUB_DOWNLOAD_TIMEOUT)"
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_MISSING = re.compile(r"^(\S+) +\| (?:\x1b\[\d+m)*(?:MISSING|MISMATCH)\b", re.MULTILINE)
_PROXY = re.compile(r"https?_proxy|HTTPS?_PROXY")
_LOGIN = re.compile(r"://[^/\s]*@")
# What decides whether a model can be used at all; correlations and standard errors may lack for other reasons.
_UNNAMED = re.compile(r".*_stderr|dispersion_\w+|alias")


def evaluate(unit: Unit, scratch: Path, stop: threading.Event) -> Outcome:
    """Fetches the unit's model into a folder, and runs lm_eval there; never raises.

    Args:
        unit: what to run.
        scratch: this machine's folder for it: what is finished there is not run again.
        stop: ends it when it is set.
    """
    try:
        if finished := _finished(unit, scratch):
            return finished
        while not _FETCHING.acquire(timeout=0.5):
            if stop.is_set():
                return Outcome(reason=Reason.INFRASTRUCTURE, detail="was stopped")
        try:
            prepared = _download.fetch(unit.request, scratch, unit.limits, stop)
        finally:
            _FETCHING.release()
        return _run(unit, scratch, prepared, stop)
    except Refused as refused:
        return Outcome(reason=refused.reason, detail=scrubbed(refused.detail, 1, 300, _secrets()))
    except (Exception, SystemExit) as error:
        # Whatever it is, the worker and its other units go on.
        return Outcome(
            reason=Reason.INFRASTRUCTURE, detail=scrubbed(f"{type(error).__name__}: {error}", 1, 300, _secrets())
        )


def forget(scratch: Path, key: str) -> None:
    """Removes what was finished and not finished of a request; its results are stored."""
    shutil.rmtree(scratch / "runs" / key, ignore_errors=True)


def environment(hf_home: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What lm_eval gets of this process's environment: nothing that is a secret, or leads to one.

    Args:
        hf_home: a cache without a token; also its home.
        inherited: this process's.
    """
    kept = {key: value for key, value in inherited.items() if _KEPT.fullmatch(key) and not _SECRET.search(key)}
    kept |= {key: value for key, value in inherited.items() if _PROXY.fullmatch(key)}
    kept = {key: value for key, value in kept.items() if not _LOGIN.search(value)}
    home = str(hf_home)
    kept |= {"HOME": home, "HF_HOME": home, "TMPDIR": str(_made(hf_home.parent / "tmp"))}
    kept |= {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    return kept


def check_model_args(model_args: str) -> None:
    """Of the operator.

    Raises:
        SystemExit: where they would trust a model's code.
    """
    if "trust_remote_code" in model_args:
        raise SystemExit("leaderboard: a model's code is never trusted; leave trust_remote_code out of --model_args")


def command(unit: Unit, model_args: str, output: Path) -> list[str]:
    """lm_eval's command line.

    Raises:
        SystemExit: for model arguments of the operator's that would trust a model's code.
    """
    engine, extra = unit.engine, [f"dtype={unit.request.precision}"]
    check_model_args(engine.model_args)
    if engine.model_args:
        extra.append(engine.model_args)
    # The script, and not `-m`, which would look for modules in the folder where it runs.
    script = str(Path(sys.executable).with_name("lm_eval"))
    found = [script, "--model", engine.name, "--model_args", ",".join([model_args, *extra])]
    found += ["--tasks", ",".join(unit.tasks), "--output_path", str(output)]
    options = {
        "--limit": unit.limit,
        "--include_path": unit.include_path,
        "--device": engine.device,
        "--batch_size": engine.batch_size,
    }
    for name, value in options.items():
        found += [name, str(value)] if value else []
    return [*found, "--apply_chat_template"] if unit.request.chat_template else found


def _run(unit: Unit, scratch: Path, prepared: _download.Prepared, stop: threading.Event) -> Outcome:
    final = _folder(unit, scratch)
    part = final.with_name(f"{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    _made(part)
    ended = _child.run(
        command(unit, prepared.model_args, part),
        cwd=prepared.cwd,
        environment=environment(prepared.hf_home, os.environ),
        limits=unit.limits,
        folder=part,
        stop=stop,
    )
    log = scrubbed(ended.output, secrets=_secrets())
    if ended.code or ended.by != "itself":
        reason, detail = why(ended)
        shutil.rmtree(part, ignore_errors=True)
        return Outcome(reason=reason, detail=detail, log=log)
    files = {file.relative_to(part).as_posix(): file for file in sorted(part.rglob("results_*.json"))}
    fault = _made_up(ended.output) or _fault(unit, list(files.values()))
    if fault:
        shutil.rmtree(part, ignore_errors=True)
        return Outcome(reason=fault[0], detail=fault[1], log=log)
    found = {path: file.read_bytes() for path, file in files.items()}
    (part / "log.txt").write_text(log, encoding="utf-8")
    part.replace(final)
    return Outcome(found, log=log)


def _finished(unit: Unit, scratch: Path) -> Outcome | None:
    """What an earlier worker on this machine has finished, and could not store any more."""
    folder = _folder(unit, scratch)
    if not folder.is_dir():
        return None
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("results_*.json")}
    return Outcome(found, log=(folder / "log.txt").read_text(encoding="utf-8"))


def _fault(unit: Unit, files: list[Path]) -> tuple[Reason, str] | None:
    """What is wrong with the results of a run that has ended well."""
    if len(files) != 1 or files[0].stat().st_size > _LARGEST:
        return Reason.EVALUATION, f"lm_eval wrote {len(files)} results files, or a larger one than may be"
    found = json.loads(files[0].read_bytes())
    results: dict[str, dict[str, Any]] = found["results"]
    groups: dict[str, list[str]] = found.get("group_subtasks") or {}
    for task in unit.tasks:
        if task not in results and not groups.get(task):
            return Reason.EVALUATION, f"no results of {task}"
    for task, metrics in results.items():
        for key, value in metrics.items():
            metric = key.partition(",")[0]
            if isinstance(value, float) and not math.isfinite(value) and not _UNNAMED.fullmatch(metric):
                return Reason.NAN, f"{metric} of {task} is {value}"
            if value is None and metric == "dispersion" and _not_finite(found, task):
                return Reason.NAN, f"no finite hidden states in {task}"
    return None


def _made_up(output: str) -> tuple[Reason, str] | None:
    """What transformers only reports on loading: weights that the files lack are random numbers then."""
    found = _MISSING.search(output)
    return (
        (Reason.LOAD, scrubbed(f"{found[1]} is not among the weights, or of another shape", 1, 300)) if found else None
    )


def _not_finite(found: Mapping[str, Any], task: str) -> bool:
    """Whether vectors were left out for it; a labelled task's own metrics look well all the same."""
    record = (found["configs"].get(task) or {}).get("metadata", {}).get("dispersion", {})
    return bool(record.get("counts", {}).get("nonfinite_vectors"))


def _folder(unit: Unit, scratch: Path) -> Path:
    return scratch.absolute() / "runs" / unit.request.key / unit.group


def _secrets() -> list[str]:
    token = get_token()
    return [token] if token else []


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
