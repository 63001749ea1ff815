"""``python -m benchmarks.leaderboard``: what a board of 5,000 models and 12 tasks costs to build and to open.

Each build is a process of its own, through the command line. Targets: first build <= 60 s and <= 1 GiB; rebuild after
one new result <= 5 s and byte-identical to a full one; first view <= 150 kB gzipped, usable <= 1 s; filter and sort
<= 100 ms.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks import _board_files

_CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """Prints one line a figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboard", description=__doc__)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument(
        "--keep", type=Path, help="a folder to work in and leave; it may hold an earlier run's results files"
    )
    arguments = parser.parse_args()
    work = arguments.keep or Path(tempfile.mkdtemp())
    results = work / "results"
    if not results.is_dir():
        _board_files.write(results, arguments.models)
    overrides = work / "overrides.yaml"
    overrides.write_text(_board_files.families(), encoding="utf-8")
    site = work / "site"
    for old in (site, work / ".site-cache", work / "full", work / ".full-cache"):
        shutil.rmtree(old, ignore_errors=True)

    files = list(results.rglob("results_*.json"))
    print(
        f"{len(files)} results files, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB; {os.cpu_count()} cores",
        flush=True,
    )
    build = functools.partial(_build, results, overrides)
    _say("first build", *build(site))
    first = _digests(site)
    _say("build again, nothing new", *build(site))
    print(f"building twice gives identical bytes: {_digests(site) == first}", flush=True)

    _one_more_task(files[len(files) // 2])
    _say("rebuild after one new result (one task of one model)", *build(site))
    _one_more_model(results)
    _say("rebuild after one new model (twelve tasks)", *build(site))
    incremental = _digests(site)
    _say("full build of the same", *build(work / "full"))
    print(f"rebuild byte-identical to a full one: {incremental == _digests(work / 'full')}", flush=True)

    entries = Counter(str(path.parent) for path in site.rglob("*"))
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(
        f"largest folder: {max(entries.values())} entries; {sum(entries.values())} in all, {total / 1e6:.0f} MB",
        flush=True,
    )
    _browse(site)
    if not arguments.keep:
        shutil.rmtree(work)


def _build(results: Path, overrides: Path, site: Path) -> tuple[float, float]:
    """Seconds, and peak MiB of the process and its children together, sampled."""
    command = [sys.executable, "-c", "from dispersion_leaderboard.commands import main; main()", "build",
               "--results", str(results), "--overrides", str(overrides), "--out", str(site)]  # fmt: skip
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.25)
    seconds = time.perf_counter() - started
    assert process.stderr is not None
    if process.returncode:
        raise SystemExit(process.stderr.read()[-2000:])
    own = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds, max(peak, own)


def _memory(pid: int) -> float:
    """Proportional set size of a process and all below it, in MiB."""
    import psutil

    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return sum(p.memory_full_info().pss for p in processes) / 2**20
    except (psutil.Error, OSError):
        return 0.0


def _say(what: str, seconds: float, memory: float) -> None:
    print(f"{what}: {seconds:.1f} s, {memory:.0f} MiB", flush=True)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _one_more_task(file: Path) -> None:
    """The same model again, later, on one task."""
    run: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    task = "dispersion_piqa"
    for part in ("results", "configs", "versions", "n-shot", "n-samples", "task_hashes"):
        run[part] = {task: run[part][task]}
    run["results"][task]["acc,none"] = 0.75
    run["date"] += 1e7
    (file.parent / "results_2026-02-01T00-00-00.000000.json").write_text(json.dumps(run), encoding="utf-8")


def _one_more_model(results: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    run = _board_files.with_signals(_board_files.one("org1/f01-3.0b-new", 1, 3e9, 0.3, rng, 1.8e9), rng)
    place = results / "new"
    place.mkdir(exist_ok=True)
    (place / "results_2026-03-01T00-00-00.000000.json").write_text(json.dumps(run), encoding="utf-8")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def _browse(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    with sync_playwright() as playwright:
        installed = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=installed, args=_CHROMIUM)
        usable, fetched = [], set()
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.on("requestfinished", lambda request: fetched.add(request.url))
            page.goto(address)
            page.wait_for_function(
                "typeof DataTable === 'function' && document.querySelectorAll('#board tbody tr').length > 0"
            )
            usable.append(page.evaluate("performance.now()"))
            page.close()
        sizes = {url: len(gzip.compress((site / url.split("/", 3)[3].split("#")[0]).read_bytes())) for url in fetched}
        print(f"first view: {sum(sizes.values()) / 1e3:.0f} kB gzipped in {len(sizes)} files", flush=True)
        print(f"usable: {statistics.median(usable):.0f} ms (up to {max(usable):.0f})", flush=True)

        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_function("typeof DataTable === 'function'")
        started = time.perf_counter()
        page.focus("#search")
        page.wait_for_selector("#board[data-ready=yes]")
        print(
            f"all rows there after the first reach for a control: {1000 * (time.perf_counter() - started):.0f} ms",
            flush=True,
        )
        for what, action in _ACTIONS.items():
            times = [page.evaluate(_TIMED % action.replace("@", str(i))) for i in range(6)]
            later = f"then {statistics.median(times[1:]):.0f} ms (up to {max(times[1:]):.0f})"
            print(f"{what}: first {times[0]:.0f} ms, {later}", flush=True)
        browser.close()
    server.shutdown()


_TIMED = "(() => { const t = performance.now(); %s; document.body.offsetHeight; return performance.now() - t; })()"
_TABLE = "new DataTable.Api('#board')"
_ACTIONS = {
    "sort": f"{_TABLE}.order([[11 + @, 'desc']]).draw()",
    "search": f"document.getElementById('search').value = 'f0@'; {_TABLE}.search('f0@').draw()",
    "filter": f"document.getElementById('min').value = String(1 + @); {_TABLE}.draw()",
}


if __name__ == "__main__":
    main()
