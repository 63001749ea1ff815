"""Fetching an admitted model for a run, and no more than was admitted.

The download is a child process (``download_entry``): whatever the client does in it, it ends when it is killed. Its
parent watches the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import get_token
from huggingface_hub.file_download import repo_folder_name

from dispersion_leaderboard.admission import Admitted, Refused, Unreachable, inspect, inspect_folder
from dispersion_leaderboard.records import clean
from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running._disk import bytes_in
from dispersion_leaderboard.running._unit import Limits

STALLED = 300.0
"""Seconds without a new byte, after which a download is given up."""
_SLACK = 1 << 20
"""Bytes that the cache adds to the files: names, locks."""
_TICK = 0.1


@dataclass(frozen=True)
class Prepared:
    """What a run of lm_eval is given."""

    model_args: str
    """For ``--model_args``."""
    hf_home: Path
    """For ``HF_HOME``: the cache that holds the model, and no token."""
    cwd: Path
    """Where to run it."""


def fetch(request: Request, scratch: Path, limits: Limits, stop: threading.Event | None = None) -> Prepared:
    """Looks at the model again, for the request may be anyone's and the model may have changed hands, and fetches it.

    Args:
        request: for which model.
        scratch: this machine's folder for it.
        limits: what may be fetched, in which time.
        stop: ends it when it is set.

    Raises:
        Refused: where the model is not evaluated, or with ``Reason.INFRASTRUCTURE`` where the network or the disk is
            at fault.
    """
    home = scratch.resolve() / "hf"
    home.mkdir(parents=True, exist_ok=True)
    if request.folder:
        _check_folder(request, limits)
        gguf = f",gguf_file={request.gguf_file}" if request.gguf_file else ""
        return Prepared(f"pretrained={request.model}{gguf}", home, Path(request.folder).parent)
    try:
        admitted = inspect(request.model, request.revision, largest=limits.download, gguf_file=request.gguf_file)
    except Unreachable as error:
        raise Refused(Reason.INFRASTRUCTURE, str(error), request.revision) from error
    if admitted.sha != request.revision:
        raise Refused(Reason.NOT_FOUND, f"the Hub gives another commit than {request.revision}", request.revision)
    # A model that was renamed meanwhile is cached by the name that the run asks for.
    _download(replace(admitted, name=request.model), home, limits, stop or threading.Event())
    gguf = f",gguf_file={admitted.gguf_file}" if admitted.gguf_file else ""
    return Prepared(f"pretrained={request.model},revision={request.revision}{gguf}", home, scratch.resolve())


def forget(scratch: Path, request: Request) -> None:
    """Removes what was fetched for a request; a local folder is its owner's and stays."""
    if not request.folder:
        shutil.rmtree(_cache(scratch.resolve() / "hf", request.model), ignore_errors=True)


def _check_folder(request: Request, limits: Limits) -> None:
    folder = Path(request.folder)
    if folder.name != request.model or not folder.is_absolute():
        raise Refused(Reason.NOT_FOUND, f"{request.model} is not the folder that the request names")
    found = inspect_folder(folder, largest=limits.download, gguf_file=request.gguf_file)
    if found.sha != request.revision or found.gguf_file != request.gguf_file:
        raise Refused(Reason.NOT_FOUND, f"{request.model} has changed since it was submitted", found.sha)


def _cache(home: Path, model: str) -> Path:
    return home / "hub" / str(repo_folder_name(repo_id=model, repo_type="model"))


def _download(admitted: Admitted, home: Path, limits: Limits, stop: threading.Event) -> None:
    cache = _cache(home, admitted.name)
    before = bytes_in(cache)
    if shutil.disk_usage(home).free - max(0, admitted.bytes - before) < limits.disk:
        raise _trouble(admitted, f"the disk has no room for {admitted.bytes} bytes and {limits.disk} to spare")
    asked = {"model": admitted.name, "sha": admitted.sha, "files": sorted(admitted.files), "cache": str(home / "hub")}
    child = subprocess.Popen(
        [sys.executable, "-m", "dispersion_leaderboard.running.download_entry", json.dumps(asked)],
        env=_environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _watch(child, admitted, cache, before, limits, stop)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        said = child.communicate()[1].strip().splitlines()
    if child.returncode:
        why = clean(said[-1])[:200] if said else f"ended with {child.returncode}"
        raise _trouble(admitted, f"cannot fetch {admitted.name}: {why}")
    snapshot = cache / "snapshots" / admitted.sha
    came = sum((snapshot / name).stat().st_size for name in admitted.files if (snapshot / name).is_file())
    if came != admitted.bytes:
        shutil.rmtree(cache, ignore_errors=True)
        raise _lie(admitted, f"{came} bytes instead of")


def _watch(
    child: subprocess.Popen[str], admitted: Admitted, cache: Path, before: int, limits: Limits, stop: threading.Event
) -> None:
    """Returns when the child has ended, or says why it must not go on."""
    begun = moved = time.monotonic()
    size = before
    while child.poll() is None:
        if stop.wait(_TICK):
            raise _trouble(admitted, f"the download of {admitted.name} was stopped")
        now, grown = time.monotonic(), bytes_in(cache)
        if grown != size:
            size, moved = grown, now
        if size - before > admitted.bytes + _SLACK:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            shutil.rmtree(cache, ignore_errors=True)
            raise _lie(admitted, "more than")
        if shutil.disk_usage(cache.parent.parent).free < limits.disk:
            raise _trouble(admitted, f"the disk has less than {limits.disk} bytes to spare")
        if now - moved > STALLED or now - begun > limits.seconds:
            raise _trouble(admitted, f"{admitted.name} did not come: {size} of {admitted.bytes} bytes")


def _environment(home: Path) -> dict[str, str]:
    """The operator's own, token included, for this one process; HF_HOME is another, so that the token is named."""
    token = get_token()
    own = {"HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    own["HF_XET_CHUNK_CACHE_SIZE_BYTES"] = "0"  # a second cache, beside the one that is watched
    return {**os.environ, **own, **({"HF_TOKEN": token} if token else {})}


def _lie(admitted: Admitted, what: str) -> Refused:
    return Refused(
        Reason.TOO_LARGE, f"{what} the {admitted.bytes} bytes came that the Hub tells of {admitted.name}", admitted.sha
    )


def _trouble(admitted: Admitted, why: str) -> Refused:
    return Refused(Reason.INFRASTRUCTURE, why, admitted.sha)
