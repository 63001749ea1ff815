"""What the server is told to get wrong: once, or now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from threading import Lock


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of, or before, its usual answer."""

    endpoint: str
    """Which request: ``info``, ``tree``, ``paths-info``, ``resolve``, ``whoami``, ``models``, ``create``,
    ``validate-yaml``, ``preupload``, ``lfs-batch``, ``lfs-upload``, ``lfs-verify``, ``commit``; ``jobs/run``,
    ``jobs/list``, ``jobs/inspect``, ``jobs/logs``, ``jobs/cancel``, or ``jobs`` for any of these."""
    status: int = 0
    """The answer's; 0 cuts the connection without one."""
    message: str = ""
    """What the answer says."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The answer's own."""
    landed: bool = False
    """Whether the request has its effect all the same, which the client then cannot see."""
    after: int | None = None
    """Bytes of a file that come before the connection is cut."""
    action: Callable[[], object] | None = None
    """Done before the usual answer, which then follows: somebody else who is a little faster."""

    def hits(self, endpoint: str, only_head: bool) -> bool:
        """Whether it is meant for this endpoint, and can come about."""
        return self.endpoint in (endpoint, endpoint.partition("/")[0]) and not (only_head and self.after is not None)

    @property
    def name(self) -> str:
        """Under which it is counted, such as ``commit 500 landed``."""
        return f"{self.endpoint} {self.status or 'cut'}{' landed' if self.landed else ''}"


@dataclass
class Faults:
    """What a hub is told to get wrong."""

    faults: list[Fault] = field(default_factory=list)
    """Each hits the next request to its endpoint, first come, first served."""
    chaos: list[tuple[float, Fault]] = field(default_factory=list)
    """Each hits a request to its endpoint with this probability, where none of the above is due."""
    chance: Random = field(default_factory=lambda: Random(0))
    """What decides; the same seed and the same order of requests give the same faults."""
    injected: Counter[str] = field(default_factory=Counter)
    """How often each of ``chaos`` has hit so far, by ``Fault.name``."""
    lock: Lock = field(default_factory=Lock)
    """Held where a hub is changed by a request."""

    def fail(
        self,
        endpoint: str,
        status: int = 0,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        landed: bool = False,
        after: int | None = None,
        times: int = 1,
    ) -> None:
        """The next so many requests to an endpoint are refused, or cut where no status is given."""
        self.faults += [Fault(endpoint, status, message, headers or {}, landed=landed, after=after)] * times

    def fail_often(
        self,
        endpoint: str,
        rate: float,
        status: int = 0,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        landed: bool = False,
    ) -> None:
        """From now on this share of the requests to an endpoint is refused, or cut where no status is given."""
        self.chaos.append((rate, Fault(endpoint, status, message, headers or {}, landed=landed)))

    def before(self, endpoint: str, action: Callable[[], object]) -> None:
        """Somebody does something just before the next request to an endpoint is answered."""
        self.faults.append(Fault(endpoint, action=action))

    def due(self, endpoint: str, only_head: bool) -> Fault | None:
        """What happens to the request that has just come."""
        with self.lock:
            for fault in self.faults:
                if fault.hits(endpoint, only_head):
                    self.faults.remove(fault)
                    return fault
            likely = [(rate, fault) for rate, fault in self.chaos if fault.hits(endpoint, only_head)]
            drawn = self.chance.random() if likely else 1.0
            for rate, fault in likely:
                drawn -= rate
                if drawn < 0:
                    self.injected[fault.name] += 1
                    return fault
        return None
