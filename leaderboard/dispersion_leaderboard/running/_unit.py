"""One run of lm_eval: what an executor is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from dispersion_leaderboard.requests import Reason, Request, group_name


@dataclass(frozen=True)
class Engine:
    """How lm_eval runs models here; the operator's choice, no request's."""

    name: str = "hf"
    """lm_eval's ``--model``: ``hf`` or ``vllm``."""
    model_args: str = ""
    """More ``--model_args``, such as ``tensor_parallel_size=4``."""
    device: str = ""
    """lm_eval's ``--device``; empty for its own choice."""
    batch_size: str = ""
    """lm_eval's ``--batch_size``; empty for its own choice."""


@dataclass(frozen=True)
class Limits:
    """Of one run. Exceeding one ends the run and says which."""

    seconds: float = 4 * 3600
    """Wall time of lm_eval."""
    memory: int = 0
    """Bytes of resident memory of lm_eval and its children together; 0 for no limit."""
    download: int = 100 * 10**9
    """Bytes of a model's files."""
    disk: int = 20 * 10**9
    """Bytes that a run may write beside the model's own, and that must stay free on the disk."""


@dataclass(frozen=True)
class Unit:
    """A model and a group of tasks."""

    request: Request
    tasks: tuple[str, ...]
    limit: int | None = None
    include_path: str | None = None
    engine: Engine = field(default_factory=Engine)
    limits: Limits = field(default_factory=Limits)

    @property
    def group(self) -> str:
        """What the folder of its results is called."""
        return group_name(self.tasks)

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Unit:
        """A unit that ``to_json`` wrote, for a process elsewhere."""
        return cls(
            Request.from_json(found["request"]),
            tuple(found["tasks"]),
            found["limit"],
            found["include_path"],
            Engine(**found["engine"]),
            Limits(**found["limits"]),
        )


@dataclass(frozen=True)
class Outcome:
    """How a unit ended."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """What lm_eval wrote below its ``--output_path``, by path: whole results only. Empty where the run has failed, or
    where it has put its results into the store by itself."""
    reason: Reason | None = None
    """Why it failed; None where it finished."""
    detail: str = ""
    """One line about the reason, fit to be shown to anyone."""
    log: str = ""
    """The run's last lines, fit to be shown to anyone."""


class Executor(Protocol):
    """Runs units somewhere, several at once; all calls come from one thread and return at once."""

    slots: int
    """Units that may run at the same time."""

    def start(self, unit: Unit) -> None:
        """Begins a unit; at most ``slots`` are under way."""
        ...

    def ended(self) -> list[tuple[Unit, Outcome]]:
        """What ended since the last call."""
        ...

    def stop(self, unit: Unit) -> None:
        """Ends a unit that is under way, whatever it is doing; it is not told of by ``ended``."""
        ...

    def forget(self, request: Request) -> None:
        """What is kept for another attempt of a request may go: it has ended, and what it gave is stored."""
        ...

    def close(self) -> None:
        """Stops what is under way, and gives back what was taken."""
        ...
