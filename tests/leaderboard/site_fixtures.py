"""Fixtures of the pages' tests: a browser, a fresh page in it, and a site of models that do not exist."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dispersion_leaderboard.records import read_conventions
from dispersion_leaderboard.site import build
from filelock import FileLock
from made import FAMILIES, HOSTILE, HOSTILE_TASK, TASKS, made, save, task_named
from pages import chromium
from playwright.sync_api import sync_playwright

_started = ExitStack()
_browsers: list[Any] = []
_files: set[Path] = set()
"""With tests that look at pages."""


def pytest_collection_finish(session: pytest.Session) -> None:
    _files.update(item.path for item in session.items if "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture
def browser() -> Any:
    """One for all these files: it starts with the first test that wants it."""
    if not _browsers:
        with ExitStack() as starting:
            _browsers.append(chromium(starting.enter_context(sync_playwright())))
            starting.callback(lambda: _browsers.pop().close())
            _started.push(starting.pop_all())
    return _browsers[0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Ends the browser before another file: its event loop is this thread's, where others may run one of their own."""
    if nextitem is None or nextitem.path not in _files:
        _started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page; whatever it complains of fails the test."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    found = context.new_page()
    found.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    found.on("pageerror", lambda e: complaints.append(str(e)))
    yield found
    context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def made_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of :func:`_make`, built once for all the processes of a run."""
    here = tmp_path_factory.getbasetemp()
    root = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here
    with FileLock(root / "made.lock"):
        if not (root / "made").exists():
            shutil.rmtree(root / "made.part", ignore_errors=True)
            (root / "made.part").mkdir()
            _make(root / "made.part")
            (root / "made.part").rename(root / "made")
    return root / "made" / "site"


def _make(folder: Path) -> None:
    """40 models that do not exist, in 5 families, a dozen with hostile names, some with less than the others."""
    overrides = [f"  - {{family: {json.dumps(name)}, match: 'x{i}-'}}" for i, name in enumerate(FAMILIES)]
    (folder / "overrides.yaml").write_text("families:\n" + "\n".join(overrides) + "\n", encoding="utf-8")
    for i in range(40):
        run = made(HOSTILE[i] if i < len(HOSTILE) else f"org/x{i % 5}-{i:02d}", i)
        if i == 13:
            run = made("org/x3-13", i, tasks=TASKS[:2])
        if i in (14, 15, 16):
            stock = task_named(made("x", i), "dispersion_boolq", HOSTILE_TASK)
            run = {k: v | stock[k] if k in ("results", "configs", "versions", "n-shot") else v for k, v in run.items()}
        if i == 17:
            # What two roundings would show differently.
            run["config"]["model_num_parameters"] = 1_250_000_000
            run["results"]["dispersion_piqa"] |= {"acc,none": 0.5625, "acc_stderr,none": 0.0625}
            run["results"]["dispersion_wiki"] |= {"dispersion,none": 0.5625, "dispersion_stderr,none": 0.0625}
        if i == 18:
            del run["config"]["model_num_parameters"]
            for config in run["configs"].values():
                del config["metadata"]["dispersion"]["model"]["parameters"]
        if i == 19:
            run["config"]["model"] = "<script>window.pwned=2</script>"
        save(folder / "results", f"m{i:02d}", run)
    broken = folder / "results" / "<script>pwned=1<" / "results_2026-01-01T00-00-00.000000.json"
    broken.parent.mkdir()
    broken.write_text("{")
    build([str(folder / "results")], folder / "site", read_conventions(folder / "overrides.yaml"))


@pytest.fixture(scope="session")
def data(made_site: Path) -> dict[str, Any]:
    """What the overview's table is filled from: its fields, and all rows."""
    text = (made_site / "data" / "models.js").read_text(encoding="utf-8")
    return dict(json.loads(text.removeprefix("window.LEADERBOARD=").rstrip(";\n")))
