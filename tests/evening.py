"""A whole evening of the leaderboard, for real: ask, evaluate, build, publish, and look at the pages.

    python tests/evening.py --out FOLDER

Not a test that pytest collects: it takes an hour on two cores, and 10 GB of disk. The two real models of the demo and
a dozen that are damaged on purpose go through the command line twice, once with folders as stores and once with the
stand-in of the Hub. Each time two workers share the queue; the one that comes to its second model first is killed
there, and started again under its name. A model that was asked for is asked for again, and a model that is a pickle is
refused. Whatever is not as it should be ends it with an error. The models are kept for the next time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}

import psutil
from evening_places import Place, folders, hostile_model, real_models, stand_in, tiny_models
from pages import chromium, column, ready, rows
from playwright.sync_api import sync_playwright

PLACES = {"folders": folders, "hub": stand_in}
TASKS = ("dispersion_demo_news", "dispersion_demo_mmlu")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for all of it")
    parser.add_argument("--models", type=int, default=14, help="the first so many, 3 or more (default: all 14)")
    parser.add_argument("--limit", type=int, default=4, help="documents of each task (default: 4)")
    parser.add_argument("--at", choices=[*PLACES], nargs="+", default=[*PLACES], help="default: one after the other")
    parser.add_argument("--tiny", action="store_true", help="tiny models with random weights: a few minutes")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / "suites.yaml").write_text(json.dumps({"evening": {"tasks": list(TASKS), "limit": options.limit}}))
    lap = Lap()
    models = tiny_models(out / "tiny", options.models) if options.tiny else real_models(out / "models", options.models)
    lap(f"{len(models)} models are there")
    hostile = hostile_model(out / "only-a-pickle", models[0], out / "the-pickle-was-loaded")
    for at in options.at:
        with PLACES[at](out, [*models, hostile]) as place:
            print(f"\n{place.name}: {len(models)} models, and one that is a pickle", flush=True)
            whole = Lap()
            spend(place, Lap())
            whole("in all")
    assert not (out / "the-pickle-was-loaded").exists()
    print("\nall of it as it should be")


class Lap:
    """Says what has been done, and how long it took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        print(f"{now - self._since:7.1f} s  {what}", flush=True)
        self._since = now


def spend(place: Place, lap: Lap) -> None:
    """The evening from the first request to the last page."""
    asked = ["--queue", place.queue, "--suites", place.out.parent / "suites.yaml", "--suite", "evening"]
    asked += ["--precision", "float32"]
    # A folder that is refused has no commit, and so no request: that is the command's exit status.
    lines = place.run("submit", *place.models, *asked, check=False).splitlines()
    assert "formats that may run code" in lines[-1], lines
    again = place.run("submit", place.models[0], *asked)
    assert "is in the queue already: pending" in again, again
    lap(f"submitted; {Path(lines[-1]).name}; {Path(again).name}")
    workers = {name: place.work(name) for name in ("one", "two")}
    try:
        name, told = kill_at_a_second_model(place, workers)
        lap(told)
        time.sleep(10)
        workers[name] = place.work(name)
        codes = {name: worker.wait() for name, worker in workers.items()}
        assert not any(codes.values()), f"{codes}; see the workers' logs"
    finally:
        for worker in workers.values():
            worker.terminate()
    lap("worked until the queue was empty")
    print(place.run("status", "--queue", place.queue))
    check(place)
    built = place.run("build", "--results", place.store, "--queue", place.queue, "--out", place.out / "site")
    lap(f"built: {built.splitlines()[0]}")
    with place.published(place, place.out / "site") as address:
        lap("published")
        look(place, address)
    lap("looked at")


def kill_at_a_second_model(place: Place, workers: dict[str, subprocess.Popen[bytes]]) -> tuple[str, str]:
    """SIGKILL for one worker alone, while lm_eval runs on the second model it has; what it had begun dies with it."""
    seen: dict[str, set[str]] = {name: set() for name in workers}
    while not (second := [name for name in seen if len(seen[name]) > 1]):
        assert any(worker.poll() is None for worker in workers.values()), "no worker had a second model"
        time.sleep(1)
        for name in seen:
            found = (re.search(r"pretrained=([^,]+)", line) for line in _of(place.out / name))
            seen[name] |= {model[1] for model in found if model}
    time.sleep(3)
    scratch, worker = place.out / second[0], workers[second[0]]
    children = len(_of(scratch)) - 1
    worker.kill()
    worker.wait()
    killed = time.monotonic()
    while left := _of(scratch):
        assert time.monotonic() - killed < 20, f"alive after the worker was killed: {left}"
        time.sleep(0.1)
    took = time.monotonic() - killed
    return second[0], f"killed worker {second[0]} at its second model; its {children} children took {took:.1f} s to go"


def _of(scratch: Path) -> list[str]:
    """The command lines of the processes that work there."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [line for line in map(" ".join, found) if f"{scratch}" in line]


def check(place: Place) -> None:
    """Every request finished once, and every run's results are there once."""
    entries, said, real = place.entries(), place.said(), place.names[:-1]
    states = Counter((entry["model"], entry["state"]) for entry in entries.values())
    refused = {place.names[-1]: "rejected"} if place.hub else {}
    assert states == Counter((dict.fromkeys(real, "finished") | refused).items()), states
    ended = Counter(line for line in said if line.endswith(": finished"))
    assert ended == Counter(f"{name}: finished" for name in real), ended
    found = [path.split("/") for path in place.read("results") if path.rpartition("/")[2].startswith("results_")]
    parts = Counter((parts[1], parts[2]) for parts in found)
    keys = [key for key, entry in entries.items() if entry["state"] == "finished"]
    assert parts == Counter(itertools.product(keys, TASKS)), parts
    done = sum(line.endswith(": done") for line in said)
    twice = sum(entry.get("attempts", 0) == 2 for entry in entries.values())
    print(f"{len(found)} results files, {done} runs told of, {twice} requests claimed twice")
    if place.hub:
        commits = {name: len(place.hub.repositories[f"org/{name}"].commits) for name in ("requests", "results")}
        print(f"{commits} commits, {len(place.hub.asked)} requests to the stand-in; finished once by all commits")
        assert finished(place) == Counter(keys), finished(place)


def finished(place: Place) -> Counter[str]:
    """How often each request became finished, by the history of the queue."""
    assert place.hub
    before: dict[str, Any] = {}
    found: Counter[str] = Counter()
    for commit in place.hub.repositories["org/requests"].commits:
        shards = [json.loads(blob.content) for path, blob in commit.files.items() if path.startswith("states/")]
        now = {key: entry["state"] for shard in shards for key, entry in shard.items()}
        found.update(key for key in now if now[key] == "finished" != before.get(key))
        before = now
    return found


def look(place: Place, address: str) -> None:
    """Opens the board and the queue in the browser; every model has numbers, and the browser complains of nothing."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/index.html")
        ready(page)
        page.screenshot(path=place.out / "index.png", full_page=True)
        assert sorted(column(page, "Model")) == sorted(place.names[:-1]), column(page, "Model")
        # The last three: D and bits per byte of the news, and accuracy.
        numbers = [row[-3:] for row in rows(page)]
        assert all(re.match(r"\d+\.\d", cell) for row in numbers for cell in row), numbers
        page.goto(f"{address}/queue.html")
        ready(page)
        page.screenshot(path=place.out / "queue.png", full_page=True)
        shown = dict(zip(column(page, "Model"), column(page, "State"), strict=True))
        refused = {place.names[-1]: "rejected"} if place.hub else {}
        assert shown == dict.fromkeys(place.names[:-1], "finished") | refused, shown
        browser.close()
    assert complaints == [], complaints


if __name__ == "__main__":
    main()
