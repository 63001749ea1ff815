"""What the Hub refuses: what passes is waited out, the rest is told in one line with its fix."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NoReturn, TypeVar

from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential
from tqdm import tqdm

T = TypeVar("T")

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
    """Asks again what may be answered a little later: after a second, then after longer, or when the Hub says.

    Args:
        repository: ``ORG/NAME``, as lines for the user call it.
        endpoint: the Hub's address.
    """

    def __init__(self, repository: str, endpoint: str) -> None:
        self._repository, self._endpoint = repository, endpoint
        self._answered = False

    def answered(self) -> None:
        """The Hub can be reached: a connection that fails from now on may come back."""
        self._answered = True

    def __call__(self, ask: Callable[[], T], passes: type[Exception] | tuple[type[Exception], ...] = ()) -> T:
        """The answer to a question.

        Args:
            ask: raises ``REFUSALS``; called again where they may pass.
            passes: of these it is known that they will.

        Raises:
            Refused: where waiting cannot help, or has not.
        """
        try:
            return self.retrying(lambda error: isinstance(error, passes) or self._may_pass(error))(ask)
        except REFUSALS as error:
            raise Refused(self.line(error)) from error

    def retrying(self, again: Callable[[BaseException], bool]) -> Retrying:
        """Calls again what raises certain exceptions, which are refusals or caused by one.

        The call raises what is not called again, and ``Refused`` where waiting has not helped.
        """
        return Retrying(
            retry=retry_if_exception(again),
            wait=_seconds,
            stop=lambda state: _too_long(state) or stop_after_attempt(FAILURES)(state),
            before_sleep=_say,
            retry_error_callback=self._give_up,
        )

    def demand_passing(self, error: Exception) -> None:
        """Goes on where another attempt may be accepted.

        Raises:
            Refused: where it will not.
        """
        if not self._may_pass(error):
            raise Refused(self.line(error)) from error

    def _give_up(self, state: RetryCallState) -> NoReturn:
        error = _refusal(state)
        if _too_long(state):
            asked = _asked_to_wait(error) or 0
            raise Refused(
                f"the Hub asks to wait {asked / 60:.0f} minutes ({_said(error)}); run this again then, "
                "what is uploaded already is not uploaded twice",
                after=asked + 1,
            ) from error
        raise Refused(f"given up after {FAILURES} attempts; {self.line(error)}", after=LONGEST) from error

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

    def _may_pass(self, error: BaseException) -> bool:
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


def _refusal(state: RetryCallState) -> Exception:
    """The last one; of an exception of ours its cause."""
    error = state.outcome.exception() if state.outcome else None
    if error is not None and not isinstance(error, REFUSALS):
        error = error.__cause__
    assert isinstance(error, Exception)
    return error


def _seconds(state: RetryCallState) -> float:
    asked = _asked_to_wait(_refusal(state))
    return float(wait_exponential(max=30)(state)) if asked is None else asked + 1


def _too_long(state: RetryCallState) -> bool:
    return (_asked_to_wait(_refusal(state)) or 0) > LONGEST


def _say(state: RetryCallState) -> None:
    tqdm.write(f"{_said(_refusal(state))}; again in {state.upcoming_sleep:.0f} s", file=sys.stderr)


def _asked_to_wait(error: Exception) -> int | None:
    """Seconds, by either header that the Hub sends; the second stands on every answer, also where some are left."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers: Mapping[str, str] = error.response.headers
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
