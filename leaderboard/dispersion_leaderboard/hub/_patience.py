"""What the Hub refuses: what passes is waited out, the rest is told in one line with its fix."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from tqdm import tqdm

# The client's transport: httpx2, and httpx before huggingface_hub 2.
httpx: Any = import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])

REFUSALS = (httpx.HTTPError, OfflineModeIsEnabled, ValueError, RuntimeError)
"""What the client raises: answers and cut connections; a card or an answer it cannot use; an upload that failed."""

FAILURES = 8
"""In a row, before it is given up: a minute and a half of waiting in all."""
LONGEST = 300
"""Seconds that the Hub may ask to be left alone for: its window for requests. For commits it is an hour."""

_AMBIGUOUS = frozenset({500, 502, 503, 504})
_PASSING = _AMBIGUOUS | {408, 409, 412, 429}

_SENT_ONCE = re.compile(
    r"/api/(repos/create|validate-yaml|(spaces|datasets|models)/[^/]+/[^/]+(/(commit|paths-info|revision)/[^/]+)?)$"
    r"|/resolve/"
)
"""What the client does not itself repeat; the rest it has tried six times before it raises."""


class Refused(Exception):
    """The one line that says what was refused and what helps.

    Attributes:
        after: seconds after which another attempt may succeed; None where it will not by itself.
    """

    def __init__(self, line: str, after: float | None = None) -> None:
        super().__init__(line)
        self.after = after


class Patience:
    """Counts failures, and waits longer after each.

    Args:
        repository: ``ORG/NAME``, as lines for the user call it.
        endpoint: the Hub's address.
    """

    def __init__(self, repository: str, endpoint: str) -> None:
        self._repository, self._endpoint = repository, endpoint
        self._failures = 0
        self._answered = False

    def answered(self) -> None:
        """The Hub can be reached: a connection that fails from now on may come back."""
        self._answered = True

    def progressed(self) -> None:
        """A commit has landed: failures are counted anew."""
        self._failures = 0

    def wait(self, error: Exception, *, passes: bool = False) -> None:
        """Waits before another attempt.

        Args:
            error: what the client raised.
            passes: the caller knows that it will pass.

        Raises:
            Refused: where waiting cannot help, or has not.
        """
        self._failures += 1
        if not passes and not self._may_pass(error):
            raise Refused(self.line(error)) from error
        asked = _asked_to_wait(error.response.headers) if isinstance(error, HfHubHTTPError) else None
        if asked is not None and asked > LONGEST:
            raise Refused(
                f"the Hub asks to wait {asked / 60:.0f} minutes ({_said(error)}); run this again then, "
                "what is uploaded already is not uploaded twice",
                after=asked + 1,
            ) from error
        if self._failures == FAILURES:
            self._failures = 0  # whoever comes again after a while starts anew
            raise Refused(f"given up after {FAILURES} attempts; {self.line(error)}", after=LONGEST) from error
        seconds = min(2.0 ** (self._failures - 1), 30) if asked is None else asked + 1
        tqdm.write(f"{_said(error)}; again in {seconds:.0f} s", file=sys.stderr)
        time.sleep(seconds)

    def line(self, error: Exception) -> str:
        """What the user reads: the cause and the fix."""
        said = _said(error)
        if isinstance(error, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set; unset it to write to the Hub"
        if not isinstance(error, HfHubHTTPError):
            if isinstance(error, httpx.HTTPError):
                return f"cannot reach {self._endpoint}: {said}; check the network and run this again"
            return f"{said}; what is uploaded was not accepted: make it again, or try later"
        status = error.response.status_code
        if status == 401:
            return f"the Hub does not accept the token ({said}); `hf auth login`, or set HF_TOKEN to one that may write"
        if status == 403:
            organisation = self._repository.partition("/")[0]
            return f"no right to write to {self._repository} ({said}); use a token with write access to {organisation}"
        return f"the Hub refuses {self._repository}: {said}"

    def _may_pass(self, error: Exception) -> bool:
        if isinstance(error, HfHubHTTPError):
            return error.response.status_code in _PASSING and _sent_once(error.response.request)
        if isinstance(error, httpx.TransportError):
            unreachable = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            return _sent_once(error.request) and (self._answered or not unreachable)
        return False


def may_be_too_large(error: Exception) -> bool:
    """Whether a smaller commit has better prospects: one that took too long ends like this."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _AMBIGUOUS
    return isinstance(error, httpx.TransportError)


def _sent_once(request: Any) -> bool:
    return bool(_SENT_ONCE.search(request.url.path))


def _asked_to_wait(headers: Mapping[str, str]) -> int | None:
    """Seconds, by either header that the Hub sends; the second stands on every answer, also where some are left."""
    if (after := headers.get("retry-after", "")).isdigit():
        return int(after)
    spent = re.search(r";\s*r=0\s*;\s*t=(\d+)", headers.get("ratelimit", ""))
    return int(spent[1]) if spent else None


def _said(error: Exception) -> str:
    """One line of what was answered, without the token, whoever repeats it."""
    if isinstance(error, HfHubHTTPError):
        text = f"{error.response.status_code} {error.server_message or error.response.reason_phrase}"
    else:
        text = str(error) or type(error).__name__
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            text += f" ({_said(error.__cause__)})"
    line = " ".join(text.split())
    if token := get_token():
        line = line.replace(token, "<token>")
    return line.rstrip(".")
