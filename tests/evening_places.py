"""Where an evening happens: its models, and the two kinds of stores. See ``evening.py``."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "leaderboard"))
sys.path.append(str(Path(__file__).parent / "leaderboard" / "example"))

from hub import WRITER, Hub
from pages import served

# Long enough to be kept up: a worker looks at its queue every half a minute while it evaluates.
WORK = ["--once", "--lease", "0.03", "--disk-limit", "2", "--device", "cpu", "--commits-per-hour", "3600"]


@dataclass
class Place:
    """A pair of stores, and the command line sent there."""

    name: str
    out: Path
    """Everything of it lies there."""
    queue: str
    store: str
    models: list[str]
    """As they are asked for."""
    names: list[str]
    """As the pages name them."""
    read: Callable[[str], dict[str, bytes]]
    """All files of one of the stores, ``requests`` or ``results``."""
    published: Callable[[Place, Path], AbstractContextManager[str]]
    """The address of a built site, once it is published."""
    environment: Mapping[str, str] = field(default_factory=dict)
    hub: Hub | None = None

    def run(self, *arguments: object, check: bool = True) -> str:
        """A command to its end; what it printed."""
        done = subprocess.run(self._command(*arguments), env=self._all(), capture_output=True, text=True)
        if check and done.returncode:
            raise SystemExit(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr[-4000:]}")
        return done.stdout.strip()

    def work(self, name: str) -> subprocess.Popen[bytes]:
        """A worker; what it says is added to a file that bears its name."""
        options = ["--queue", self.queue, "--store", self.store, "--suites", self.out.parent / "suites.yaml"]
        options += ["--name", name, "--scratch", self.out / name, *WORK]
        with (self.out / f"{name}.log").open("ab") as log:
            return subprocess.Popen(self._command("work", *options), env=self._all(), stdout=log, stderr=log)

    def serve(self, site: Path) -> subprocess.Popen[str]:
        """A server of a site, which prints its address."""
        command = self._command("serve", "--site", site, "--port", 0)
        # A shell's background job, which a CI's may be, hands down an ignored SIGINT.
        return subprocess.Popen(
            command,
            env=self._all(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def entries(self) -> dict[str, dict[str, Any]]:
        """The queue, as its files say."""
        states = [json.loads(content) for path, content in self.read("requests").items() if path.startswith("states/")]
        return {key: entry for shard in states for key, entry in shard.items()}

    def said(self) -> list[str]:
        """The lines of all workers, without the time and the worker."""
        lines = [line for log in sorted(self.out.glob("*.log")) for line in log.read_text().splitlines()]
        return [line.split(": ", 1)[-1] for line in lines]

    def _command(self, *arguments: object) -> list[str]:
        return [str(Path(sys.executable).with_name("dispersion-leaderboard")), *map(str, arguments)]

    def _all(self) -> dict[str, str]:
        # One thread for each of two workers: on two cores more would only be in each other's way.
        return {**os.environ, "OMP_NUM_THREADS": "1", **self.environment}


@contextmanager
def folders(out: Path, models: Sequence[Path]) -> Iterator[Place]:
    """Stores that are folders; the pages come from ``serve``."""
    place = _emptied(out / "folders")

    def read(store: str) -> dict[str, bytes]:
        files = [file for file in (place / store).rglob("*") if file.is_file()]
        return {file.relative_to(place / store).as_posix(): file.read_bytes() for file in files}

    stores = [str(place / "requests"), str(place / "results")]
    yield Place("folders", place, *stores, [*map(str, models)], [m.name for m in models], read, _shown_here)


@contextmanager
def stand_in(out: Path, models: Sequence[Path]) -> Iterator[Place]:
    """Stores, models and the Space on the stand-in of the Hub; the pages are the files that the Space has then."""
    place = _emptied(out / "hub")
    with Hub() as hub:
        for model in models:
            hub.add_model(f"org/{model.name}", model)
        names = [f"org/{model.name}" for model in models]
        stores = ["hf://datasets/org/requests", "hf://datasets/org/results"]
        environment = hub.environment(place / "home") | {"HF_TOKEN": WRITER}
        yield Place(
            "stand-in of the Hub",
            place,
            *stores,
            names,
            names,
            lambda store: hub.repositories[f"org/{store}"].files,
            _in_a_space,
            environment,
            hub,
        )


@contextmanager
def _shown_here(place: Place, site: Path) -> Iterator[str]:
    print(place.run("publish", "--site", site, "--space", "org/board", "--dry-run")[:300])
    server = place.serve(site)
    assert server.stdout
    try:
        yield server.stdout.readline().split("/ ")[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


@contextmanager
def _in_a_space(place: Place, site: Path) -> Iterator[str]:
    print(place.run("publish", "--site", site, "--space", "org/board"))
    assert place.hub
    for path, content in place.hub.repositories["spaces/org/board"].files.items():
        file = place.out / "space" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with served(place.out / "space") as address:
        yield address


def real_models(folder: Path, count: int) -> list[Path]:
    """The two real models, and those of the example that are made from them, as bfloat16: half the disk."""
    import torch
    import variants
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen = sorted(variants.VARIANTS, key=lambda v: (v.name != v.base, v.base.startswith("gemma")))[:count]
    work = folder.with_name("float32")
    for variant in chosen:
        if not (folder / variant.name).exists():
            work.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=True)
            whole, part = variants.save(variant, work), work / f"{variant.name}.part"
            AutoModelForCausalLM.from_pretrained(whole, dtype=torch.bfloat16).save_pretrained(part)
            AutoTokenizer.from_pretrained(whole).save_pretrained(part)
            part.rename(folder / variant.name)
            shutil.rmtree(whole)
            gc.collect()
    shutil.rmtree(work, ignore_errors=True)
    return [folder / variant.name for variant in chosen]


def tiny_models(folder: Path, count: int) -> list[Path]:
    """Random weights, each model of another width."""
    from models import save_tiny_llama

    shapes = {folder / f"tiny-{number}": 64 + 8 * number for number in range(count)}
    return [save_tiny_llama(model, intermediate_size=width) for model, width in shapes.items()]


class _Trap:
    """Whoever loads it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._file,)


def hostile_model(model: Path, like: Path, trap: Path) -> Path:
    """A model like another, whose weights are a pickle that makes a file when it is loaded."""
    _emptied(model)
    for file in [*like.glob("*.json"), *like.glob("tokenizer*")]:
        shutil.copy(file, model)
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(trap)))
    return model


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
