"""The workflows of a leaderboard, read as GitHub reads them and run step by step on the stand-in of the Hub."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import lines, values
from hub import WRITER, Hub

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
NAMES = ("nightly", "on-demand")
EXAMPLE = Path("tests/leaderboard/example/results")
MODELS = ("SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct-noise-0.1", "gemma-3-270m", "tiny-gpt2-64x2-step-50")
SETUP = "Install"
"""The step whose work the environment of these tests has done."""
Given = dict[str, Any]
Step = dict[str, Any]


def workflow(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8")))


def steps_of(name: str) -> Iterator[tuple[str, Step]]:
    for job, told in workflow(name)["jobs"].items():
        yield from ((job, step) for step in told["steps"])


def evaluate(expression: str, given: Given) -> Any:
    """An expression of GitHub's, in which ``a && b || c`` gives operands as Python's words do."""
    python = re.sub(
        r"\b(?:vars|inputs|secrets|github|needs)\.[\w.]+", lambda m: f"given.get({m.group()!r}, '')", expression
    )
    python = re.sub(r"!(?!=)", " not ", python.replace("&&", " and ").replace("||", " or "))
    names = {"given": given, "format": lambda text, *rest: text.format(*rest), "cancelled": lambda: False}
    return eval(python.strip(), {"__builtins__": {}}, names)


def filled(text: str, given: Given) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda m: str(evaluate(m[1], given)), text)


def goes(part: dict[str, Any], given: Given) -> bool:
    """Whether a job or a step is run."""
    condition = str(part.get("if", "")).strip()
    return not condition or bool(evaluate(condition.removeprefix("${{").removesuffix("}}"), given))


class Checkout:
    """What a runner would have, in a folder."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder = folder
        self._hub = hub
        self._home = folder.parent / f"{folder.name}-home"
        shutil.copytree(ROOT / ".github", folder / ".github")
        for model in MODELS:
            shutil.copytree(ROOT / EXAMPLE / model, folder / EXAMPLE / model)
        (folder / ".github" / "discover.yaml").write_text("searches: [{author: org, limit: 5}]\n")

    def step(self, name: str, step: Step, given: Given) -> subprocess.CompletedProcess[str]:
        told = {**workflow(name)["env"], **step.get("env", {})}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
        environment = {**kept, "PATH": path, **self._hub.environment(self._home)}
        environment |= {key: filled(str(value), given) for key, value in told.items()}
        script = self._home / "script"
        script.parent.mkdir(exist_ok=True)
        script.write_text(step["run"])
        return subprocess.run(
            ["bash", "-e", str(script)], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )

    def run(self, name: str, given: Given) -> str:
        """All steps that would be run; returns what they said."""
        said = []
        for job, told in workflow(name)["jobs"].items():
            if not goes(told, given):
                continue
            for step in told["steps"]:
                if "run" in step and step["name"] != SETUP and goes(step, given):
                    done = self.step(name, step, given)
                    assert done.returncode == 0, f"{job}, {step['name']}: {done.stdout}{done.stderr}"
                    said.append(done.stdout + done.stderr)
        return "".join(said)


@pytest.fixture
def hub(tiny_llama: Path) -> Iterator[Hub]:
    with Hub() as found:
        found.add_model("org/tiny", tiny_llama)
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_may_only_read_ends_by_itself_and_pins_what_it_uses(name: str) -> None:
    told = workflow(name)
    assert told["permissions"] == {"contents": "read"}
    for job in told["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 350 and "permissions" not in job
    uses = [step["uses"] for _, step in steps_of(name) if "uses" in step]
    assert uses and all(re.fullmatch(r"actions/[a-z-]+@v\d+", use) for use in uses), uses
    assert "pull_request_target" not in told[True]


def test_two_builds_never_publish_at_once() -> None:
    groups = {workflow(name)["jobs"]["publish"]["concurrency"]["group"] for name in NAMES}
    assert groups == {"leaderboard-publish"}
    for name in NAMES:
        assert workflow(name)["jobs"]["publish"]["concurrency"]["cancel-in-progress"] is False
        publishing = {job for job, step in steps_of(name) if "dispersion-leaderboard publish" in step.get("run", "")}
        assert publishing == {"publish"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_typed_becomes_a_command_and_the_token_goes_only_where_it_is_needed(name: str) -> None:
    assert "secrets." not in str(workflow(name)["env"])
    for _, step in steps_of(name):
        assert "${{" not in step.get("run", ""), "an expression in a script is text that is run"
        needs = "dispersion-leaderboard" in step.get("run", "") or "history.py" in step.get("run", "")
        assert ("HF_TOKEN" in step.get("env", {})) == needs, step
        assert "HF_TOKEN" not in step.get("run", "")
    for job in workflow(name)["jobs"].values():
        assert "env" not in job


@pytest.mark.parametrize("name", NAMES)
def test_every_command_line_of_a_workflow_is_one_that_can_be_typed(name: str) -> None:
    inputs = workflow(name)[True]["workflow_dispatch"]["inputs"]
    scripts = [step.get("run", "") for _, step in steps_of(name)]
    assert {words[0] for script in scripts for words in lines(script)} >= {"submit", "build", "publish"}
    for precision in inputs.get("precision", {}).get("options", ["auto"]):
        for script in scripts:
            script = script.replace("$PRECISION", precision)
            # It is empty or this.
            for words in lines(script.replace("$DRY_RUN", "--dry-run")) + lines(script.replace("$DRY_RUN", "")):
                given = values(words)
                assert words[0] != "work" or given["once"] != given["forever"]
                assert words[0] != "submit" or given["precision"] == precision or "--precision" not in script


@pytest.mark.parametrize("name", NAMES)
def test_a_fork_without_variables_and_secrets_sees_the_whole_chain_run(name: str, hub: Hub, tmp_path: Path) -> None:
    given = {"inputs.dry_run": True, "inputs.model": "org/tiny", "inputs.precision": "auto"}
    checkout = Checkout(tmp_path / "checkout", hub)
    said = checkout.run(name, given | {"needs.submit.result": "success"})
    queue = (checkout.folder / "site" / "queue.html").read_text(encoding="utf-8")
    assert "org/tiny" in queue and "1 of 1" in queue
    assert "SmolLM2-135M-Instruct" in (checkout.folder / "site" / "index.html").read_text(encoding="utf-8")
    assert "would upload" in said and "would create the static Space example/leaderboard" in said
    assert set(hub.repositories) == {"models/org/tiny"}, "something was written"


def test_a_dry_run_of_a_real_leaderboard_reads_it_and_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    results = {f"m/{f.name}": f.read_bytes() for f in sorted((ROOT / EXAMPLE).rglob("results_*.json"))[:1]}
    hub.add("org/results", results)
    hub.add("org/requests", {"README.md": b"queue"})
    before = {name: repository.head.oid for name, repository in hub.repositories.items()}
    given = {"vars.HUB_ORG": "org", "inputs.dry_run": True, "needs.submit.result": "success"}
    checkout = Checkout(tmp_path / "checkout", hub)
    said = checkout.run("nightly", given)
    assert "org/tiny" in said and "would create the static Space org/leaderboard" in said
    assert {name: repository.head.oid for name, repository in hub.repositories.items()} == before
    assert "Nothing has been asked for yet" in (checkout.folder / "site" / "queue.html").read_text(encoding="utf-8")


def test_the_first_evening_publishes_the_queue_before_there_is_any_result(hub: Hub, tmp_path: Path) -> None:
    for name in ("org/results", "org/requests"):
        hub.add(name, {".gitattributes": b"*.bin filter=lfs\n"})
    given = {"vars.HUB_ORG": "org", "secrets.HF_TOKEN": WRITER, "inputs.model": "org/tiny", "inputs.precision": "auto"}
    checkout = Checkout(tmp_path / "checkout", hub)
    checkout.run("on-demand", given | {"inputs.suite": "demo"})
    space = hub.repositories["spaces/org/leaderboard"].files
    assert "org/tiny" in space["queue.html"].decode() and "demo@" in space["queue.html"].decode()
    assert "Nothing has been measured yet" in space["index.html"].decode()


@pytest.mark.slow
def test_night_after_night_fresh_runners_keep_the_history_and_ask_for_nothing_twice(hub: Hub, tmp_path: Path) -> None:
    files = sorted((ROOT / EXAMPLE).rglob("results_*.json"))[:3]
    results = hub.add("org/results", {f"m{i}/{f.name}": f.read_bytes() for i, f in enumerate(files)})
    hub.add("org/requests", {"README.md": b"queue"})
    given = {"vars.HUB_ORG": "org", "secrets.HF_TOKEN": WRITER, "needs.submit.result": "success"}
    said = Checkout(tmp_path / "first", hub).run("nightly", given)
    assert "has no history yet" in said
    space = hub.repositories["spaces/org/leaderboard"]
    assert "queue.html" in space.files and len(json.loads(space.files["data/changelog.json"])) == 3
    asked = {path for path in hub.repositories["org/requests"].files if path.startswith("requests/")}
    assert len(asked) == 1
    gone = next(path for path in results.files if path.startswith("m2/"))
    hub.add("org/results", {path: content for path, content in results.files.items() if path != gone})
    said = Checkout(tmp_path / "second", hub).run("nightly", given)
    assert "is in the queue already: pending" in said
    told = [event["what"] for event in json.loads(space.files["data/changelog.json"])]
    assert sorted(told) == ["added", "added", "added", "removed"]
    # A Hub that does not answer ends the night before anything is published.
    hub.fail("resolve", status=503, times=100)
    third = Checkout(tmp_path / "third", hub)
    history = next(step for _, step in steps_of("nightly") if step.get("name") == "Fetch the history")
    assert third.step("nightly", history, given).returncode != 0


@pytest.mark.parametrize(
    "typed", ['x"; touch pwned; "', "$(touch pwned)", "-h", "--dry-run", "org/tiny --suite demo", ""]
)
def test_what_is_typed_into_the_form_is_never_a_command_nor_an_option(typed: str, hub: Hub, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout", hub)
    ask = next(step for _, step in steps_of("on-demand") if step.get("name") == "Ask for the model")
    done = checkout.step("on-demand", ask, {"inputs.model": typed, "inputs.precision": "auto"})
    assert done.returncode != 0 and "Traceback" not in done.stderr and "usage:" not in done.stdout
    assert not list(checkout.folder.rglob("pwned*")) and not list(checkout.folder.rglob("requests/*"))
