"""What a piece of work does on a CUDA device, by PyTorch's profiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any


def activity(work: Callable[[], Any]) -> tuple[Counter[str], float]:
    """How many kernels ran, and how many copies by direction (``DtoH``, ``HtoD``); milliseconds in all of it."""
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    events = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    return Counter(_kind(event.name) for event in events), sum(event.time_range.elapsed_us() for event in events) / 1000


def _kind(name: str) -> str:
    """Of ``Memcpy DtoH (Device -> Pageable)``, ``Memset (Device)``, or a kernel by its signature."""
    first, *rest = name.split()
    return {"Memcpy": rest[0], "Memset": "set"}.get(first, "kernel") if rest else "kernel"
