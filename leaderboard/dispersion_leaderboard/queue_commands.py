"""The commands of the queue: ``submit``, ``status``, ``work``, ``requeue``, ``cancel``."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispersion_leaderboard.requests import Suite
    from dispersion_leaderboard.running import Executor

GB = 10**9
_IMAGE = "python:3.11"
_SET_UP = 7200
"""Seconds that a job takes beside lm_eval: its container, this package, the model."""


def add_commands(commands: Any) -> None:
    """Adds them to the parser; nothing heavy is imported before one of them runs."""
    queue = argparse.ArgumentParser(add_help=False)
    queue.add_argument("--queue", required=True, metavar="PLACE", help="a folder, or hf://datasets/ORG/NAME")
    suites = argparse.ArgumentParser(add_help=False)
    suites.add_argument("--suites", type=Path, metavar="YAML", help="suites of your own, beside the shipped ones")
    suites.add_argument(
        "--largest", type=_amount, default=100.0, metavar="GB", help="of a model's files together (default: 100)"
    )

    submit = commands.add_parser("submit", parents=[queue, suites], help="ask for models to be evaluated")
    submit.add_argument("models", nargs="*", metavar="MODEL", help="a Hub id; with a folder as queue also a folder")
    submit.add_argument("--discover", type=Path, metavar="YAML", help="also the models that these searches find")
    submit.add_argument("--revision", help="a branch, tag or commit (default: the newest commit)")
    submit.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    submit.add_argument("--chat-template", action="store_true", help="wrap prompts in the tokenizer's chat template")
    submit.add_argument("--suite", default="dispersion", help="what to evaluate on (default: dispersion)")
    submit.add_argument("--gguf-file", default="", metavar="FILE", help="which one, in a repository of several")
    submit.add_argument("--dry-run", action="store_true", help="say what would be asked for, and write nothing")
    submit.set_defaults(run=_submit)

    status = commands.add_parser("status", parents=[queue], help="say where requests are")
    status.add_argument("wanted", nargs="?", metavar="ID", help="a request or a model, told with its log")
    status.set_defaults(run=_status)

    work = commands.add_parser("work", parents=[queue, suites], help="evaluate what is in the queue")
    work.add_argument("--store", required=True, metavar="PLACE", help="where results go: as --queue, another one")
    how_long = work.add_mutually_exclusive_group(required=True)
    how_long.add_argument("--once", action="store_true", help="until the queue is empty")
    how_long.add_argument("--forever", action="store_true", help="and then wait for more")
    work.add_argument("--executor", choices=("local", "ray", "hf-jobs"), default="local", help="where models run")
    work.add_argument("--slots", type=_count, default=1, metavar="N", help="runs at the same time (default: 1)")
    work.add_argument("--scratch", type=Path, metavar="DIR", help="models and unfinished work (default: in ~/.cache)")
    work.add_argument("--name", help="of this worker, no other's (default: from host and scratch)")
    work.add_argument("--model", choices=("hf", "vllm"), default="hf", help="lm_eval's (default: hf)")
    work.add_argument("--model_args", default="", metavar="ARGS", help="more of them, as tensor_parallel_size=4")
    work.add_argument("--device", default="", help="lm_eval's")
    work.add_argument("--batch_size", default="", help="lm_eval's")
    work.add_argument("--time-limit", type=_amount, default=4.0, metavar="HOURS", help="of one run (default: 4)")
    work.add_argument("--memory-limit", type=_amount, default=0.0, metavar="GB", help="of one run (default: none)")
    work.add_argument("--disk-limit", type=_amount, default=20.0, metavar="GB", help="of one run (default: 20)")
    work.add_argument(
        "--commits-per-hour", type=_amount, default=100.0, metavar="N", help="to a Hub store, by all (default: 100)"
    )
    work.add_argument("--lease", type=_amount, default=3.0, metavar="HOURS", help="of a claim (default: 3)")
    ray = work.add_argument_group("--executor ray")
    ray.add_argument("--ray-address", metavar="ADDRESS", help="of a cluster that runs (default: one on this machine)")
    ray.add_argument("--gpus", type=float, default=0.0, metavar="N", help="of one run (default: 0)")
    jobs = work.add_argument_group("--executor hf-jobs")
    jobs.add_argument("--flavor", metavar="NAME", help="the hardware, as a10g-small")
    jobs.add_argument("--image", default=_IMAGE, metavar="IMAGE", help=f"with Python and pip (default: {_IMAGE})")
    jobs.add_argument(
        "--install", metavar="REQUIREMENT", help="what pip installs first (default: this version; '' for nothing)"
    )
    jobs.add_argument("--namespace", metavar="ORG", help="whose jobs they are (default: the token's user)")
    work.set_defaults(run=_work)

    for name, run, what in (
        ("requeue", _requeue, "put what has failed, was rejected or cancelled back into the queue"),
        ("cancel", _cancel, "take what is pending or running out of the queue"),
    ):
        command = commands.add_parser(name, parents=[queue], help=what)
        command.add_argument("wanted", nargs="+", metavar="ID", help="a request, or all of a model")
        command.set_defaults(run=run)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no amount")
    return value


@contextmanager
def _one_line() -> Iterator[None]:
    from dispersion_leaderboard.hub import Refused
    from dispersion_leaderboard.requests import BadRequest

    try:
        yield
    except (Refused, BadRequest) as error:
        raise SystemExit(f"leaderboard: {error}") from error


def _submit(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from dispersion_leaderboard.admission import Asked, Unreachable, check, discover, submit
    from dispersion_leaderboard.requests import Queue
    from dispersion_leaderboard.store import PREFIX, open_tree

    folders = not arguments.queue.startswith(PREFIX)
    asked = Asked(
        _suite(arguments),
        arguments.revision,
        arguments.precision,
        arguments.chat_template,
        arguments.gguf_file,
        int(arguments.largest * GB),
    )
    found = discover(arguments.discover) if arguments.discover else []
    models = list(dict.fromkeys([*arguments.models, *found]))
    if not models and not arguments.discover:
        raise SystemExit("leaderboard: nothing to submit; give a MODEL, or --discover with a file of searches")
    queue = None if arguments.dry_run else Queue(open_tree(arguments.queue))
    try:
        answers = [check(model, asked, folders) for model in tqdm(models, desc="Checking", unit="model", delay=1)]
    except Unreachable as error:
        raise SystemExit(f"leaderboard: {error}") from error
    if queue:
        with _one_line():
            answers = submit(queue, answers)
    for answer in answers:
        print(answer.line)
    if any(answer.request is None for answer in answers) and not arguments.discover:
        sys.exit(1)


def _suite(arguments: argparse.Namespace) -> Suite:
    from dispersion_leaderboard.requests import read_suites

    suites = read_suites(arguments.suites)
    if arguments.suite not in suites:
        raise SystemExit(f"leaderboard: no suite {arguments.suite}; there are {', '.join(sorted(suites))}")
    return suites[arguments.suite]


def _status(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.requests import Queue, QueueView, find, told
    from dispersion_leaderboard.store import open_tree

    queue = Queue(open_tree(arguments.queue, write=False))
    with _one_line():
        entries = queue.entries()
        keys = find(entries, arguments.wanted) if arguments.wanted else sorted(entries, key=lambda k: entries[k].since)
        logs = queue.logs(key for key in keys if entries[key].state.ended) if arguments.wanted else {}
    positions = QueueView(entries, {}).positions()
    for key in keys:
        entry = entries[key]
        place = f", position {positions[key]} of {len(positions)}" if key in positions else ""
        worker = f" by {entry.worker}" if entry.state.value == "running" else ""
        print(f"{key[:12]} {entry.since} {entry.model} ({entry.suite}): {told(entry)}{worker}{place}")
        if key in logs:
            print("  " + logs[key].replace("\n", "\n  "))
    if not arguments.wanted:
        states = [entry.state.value for entry in entries.values()]
        print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))) or "empty")


def _requeue(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.requests import requeue

    _turn(arguments, requeue)


def _cancel(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.requests import cancel

    _turn(arguments, cancel)


def _turn(arguments: argparse.Namespace, turn: Callable[..., list[str]]) -> None:
    from dispersion_leaderboard.requests import Queue
    from dispersion_leaderboard.store import open_tree

    queue = Queue(open_tree(arguments.queue, write=False))
    with _one_line():
        print("\n".join(turn(queue, arguments.wanted)))


def _work(arguments: argparse.Namespace) -> None:
    from filelock import FileLock, Timeout

    from dispersion_leaderboard.requests import Queue, read_suites
    from dispersion_leaderboard.running import Engine, Limits, Policy, Worker, check_model_args
    from dispersion_leaderboard.store import Results, open_tree

    if arguments.store == arguments.queue:
        raise SystemExit("leaderboard: --store and --queue are two places")
    check_model_args(arguments.model_args)
    suites = read_suites(arguments.suites)
    scratch = (arguments.scratch or Path.home() / ".cache" / "dispersion-leaderboard").absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    name = arguments.name or f"{socket.gethostname()}-{sha256(str(scratch).encode()).hexdigest()[:6]}"
    policy = Policy(
        name,
        Engine(arguments.model, arguments.model_args, arguments.device, arguments.batch_size),
        Limits(
            arguments.time_limit * 3600,
            int(arguments.memory_limit * GB),
            int(arguments.largest * GB),
            int(arguments.disk_limit * GB),
        ),
        arguments.lease * 3600,
    )
    pace = arguments.commits_per_hour
    if pace == 0 or policy.lease == 0:
        raise SystemExit("leaderboard: --commits-per-hour and --lease are more than 0")
    try:
        with FileLock(scratch / ".lock", timeout=0), _one_line():
            queue = Queue(open_tree(arguments.queue, commits_per_hour=pace))
            results = Results(open_tree(arguments.store, commits_per_hour=pace))
            worker = Worker(queue, results, _executor(arguments, scratch), suites, policy)

            def stop(number: int, frame: object) -> None:
                # Once is a wish: what is finished is stored and the rest given back. Twice ends it at once.
                signal.signal(number, signal.default_int_handler)
                worker.stop()

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            worker.run(forever=arguments.forever)
    except Timeout:
        raise SystemExit(f"leaderboard: another worker uses {scratch}; give this one a --scratch of its own") from None


def _executor(arguments: argparse.Namespace, scratch: Path) -> Executor:
    if arguments.executor == "ray":
        from dispersion_leaderboard.running import RayExecutor

        memory = int(arguments.memory_limit * GB)
        return RayExecutor(
            scratch, address=arguments.ray_address, slots=arguments.slots, gpus=arguments.gpus, memory=memory
        )
    if arguments.executor == "hf-jobs":
        from dispersion_leaderboard.running import PACKAGE, JobsExecutor

        if not arguments.flavor:
            raise SystemExit("leaderboard: --executor hf-jobs needs --flavor; `hf jobs hardware` lists them")
        return JobsExecutor(
            arguments.store,
            flavor=arguments.flavor,
            image=arguments.image,
            namespace=arguments.namespace,
            slots=arguments.slots,
            timeout=arguments.time_limit * 3600 + _SET_UP,
            token=None,
            install=PACKAGE if arguments.install is None else arguments.install,
        )
    from dispersion_leaderboard.running import LocalExecutor

    return LocalExecutor(scratch, arguments.slots)
