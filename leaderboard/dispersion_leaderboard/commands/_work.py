"""The command of those who evaluate models: ``work``."""

from __future__ import annotations

import signal
import socket
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dispersion_leaderboard.commands import _options as options
from dispersion_leaderboard.commands._refused import one_line

if TYPE_CHECKING:
    from dispersion_leaderboard.running import Executor

_SET_UP = 7200
"""Seconds that a job takes beside lm_eval: its container, this package, the model."""
_MODELS = "Models"
_LIMITS = "Limits"
_RAY = "--executor ray"
_JOBS = "--executor hf-jobs"


def work(
    context: typer.Context,
    queue: options.Queue,
    store: Annotated[str, typer.Option(metavar="PLACE", help="Where results go; not the queue.")],
    once: Annotated[bool, typer.Option("--once", help="Stop when the queue is empty.")] = False,
    forever: Annotated[bool, typer.Option("--forever", help="Or then wait for more.")] = False,
    suites: options.Suites = None,
    executor: Annotated[
        Literal["local", "ray", "hf-jobs"],
        typer.Option(metavar="NAME", help="Where models run: local, ray or hf-jobs."),
    ] = "local",
    slots: Annotated[int, typer.Option(metavar="N", min=1, help="Runs at the same time.")] = 1,
    scratch: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default="in ~/.cache", help="Models and unfinished work.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default="from host and scratch", help="Of this worker, no other's."),
    ] = None,
    model: Annotated[
        Literal["hf", "vllm"], typer.Option(metavar="NAME", rich_help_panel=_MODELS, help="lm_eval's: hf or vllm.")
    ] = "hf",
    model_args: Annotated[
        str,
        typer.Option(
            "--model_args", metavar="ARGS", rich_help_panel=_MODELS, help="More of them, as tensor_parallel_size=4."
        ),
    ] = "",
    device: Annotated[str, typer.Option(metavar="DEVICE", rich_help_panel=_MODELS, help="lm_eval's.")] = "",
    batch_size: Annotated[
        str, typer.Option("--batch_size", metavar="SIZE", rich_help_panel=_MODELS, help="lm_eval's.")
    ] = "",
    largest: options.Largest = 100.0,
    time_limit: Annotated[
        float, typer.Option(metavar="HOURS", callback=options.amount, rich_help_panel=_LIMITS, help="Of one run.")
    ] = 4.0,
    memory_limit: Annotated[
        float,
        typer.Option(
            metavar="GB", callback=options.amount, show_default="none", rich_help_panel=_LIMITS, help="Of one run."
        ),
    ] = 0.0,
    disk_limit: Annotated[
        float, typer.Option(metavar="GB", callback=options.amount, rich_help_panel=_LIMITS, help="Of one run.")
    ] = 20.0,
    commits_per_hour: Annotated[
        float,
        typer.Option(metavar="N", callback=options.amount, rich_help_panel=_LIMITS, help="To a Hub store, by all."),
    ] = 100.0,
    lease: Annotated[
        float, typer.Option(metavar="HOURS", callback=options.amount, rich_help_panel=_LIMITS, help="Of a claim.")
    ] = 3.0,
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", show_default="one here", rich_help_panel=_RAY, help="Of a running cluster."),
    ] = None,
    gpus: Annotated[float, typer.Option(metavar="N", rich_help_panel=_RAY, help="Of one run.")] = 0.0,
    flavor: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=_JOBS, help="The hardware, as a10g-small.")
    ] = None,
    image: Annotated[
        str, typer.Option(metavar="IMAGE", rich_help_panel=_JOBS, help="With Python and pip.")
    ] = "python:3.11",
    install: Annotated[
        str | None,
        typer.Option(
            metavar="REQUIREMENT",
            show_default="this version",
            rich_help_panel=_JOBS,
            help="What pip installs first; '' for nothing.",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            metavar="ORG", show_default="the token's user", rich_help_panel=_JOBS, help="Whose jobs they are."
        ),
    ] = None,
) -> None:
    """Evaluate what is in the queue."""
    if once == forever:
        context.fail("Give one of --once and --forever.")
    if store == queue:
        raise SystemExit("leaderboard: --store and --queue are two places")
    if commits_per_hour == 0 or lease == 0:
        raise SystemExit("leaderboard: --commits-per-hour and --lease are more than 0")
    if executor == "hf-jobs" and not flavor:
        raise SystemExit("leaderboard: --executor hf-jobs needs --flavor; `hf jobs hardware` lists them")
    from filelock import FileLock, Timeout

    from dispersion_leaderboard.jobs import PACKAGE, JobsExecutor
    from dispersion_leaderboard.requests import Queue, read_suites
    from dispersion_leaderboard.running import (
        Engine,
        Limits,
        LocalExecutor,
        Policy,
        RayExecutor,
        Worker,
        check_model_args,
    )
    from dispersion_leaderboard.store import Results, open_tree

    check_model_args(model_args)
    known = read_suites(suites)
    scratch = (scratch or Path.home() / ".cache" / "dispersion-leaderboard").absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    memory = int(memory_limit * options.GB)
    policy = Policy(
        name or f"{socket.gethostname()}-{sha256(str(scratch).encode()).hexdigest()[:6]}",
        Engine(model, model_args, device, batch_size),
        Limits(time_limit * 3600, memory, int(largest * options.GB), int(disk_limit * options.GB)),
        lease * 3600,
    )

    def runs() -> Executor:
        if executor == "ray":
            return RayExecutor(scratch, address=ray_address, slots=slots, gpus=gpus, memory=memory)
        if executor == "hf-jobs" and flavor:
            return JobsExecutor(
                store,
                flavor=flavor,
                image=image,
                namespace=namespace,
                slots=slots,
                timeout=time_limit * 3600 + _SET_UP,
                token=None,
                install=PACKAGE if install is None else install,
            )
        return LocalExecutor(scratch, slots)

    try:
        with FileLock(scratch / ".lock", timeout=0), one_line():
            requests = Queue(open_tree(queue, commits_per_hour=commits_per_hour))
            results = Results(open_tree(store, commits_per_hour=commits_per_hour))
            worker = Worker(requests, results, runs(), known, policy)

            def stop(number: int, frame: object) -> None:
                # Once is a wish: what is finished is stored and the rest given back. Twice ends it at once.
                signal.signal(number, signal.default_int_handler)
                worker.stop()

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            worker.run(forever=forever)
    except Timeout:
        raise SystemExit(f"leaderboard: another worker uses {scratch}; give this one a --scratch of its own") from None
