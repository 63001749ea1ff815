"""Parts of files on the Hugging Face Hub, by HTTP ranges, with the client's own sign-in, endpoint and patience."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lm_eval_dispersion._errors import one_line
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import File, Meter, Span

_AT_ONCE = 8
"""Requests under way: enough to hide the way there and back, few enough for a server that counts."""
_TRIES = 5
_PASSING = {408, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 60.0


class HubRepository:
    """A model's files at one commit."""

    def __init__(self, name: str, revision: str | None, meter: Meter) -> None:
        """Asks the Hub once what there is.

        Args:
            name: ``ORG/MODEL``.
            revision: a branch, tag or commit.
            meter: counts what is read.

        Raises:
            Unscreenable: where there is no such model, or the Hub does not answer.
        """
        from huggingface_hub import HfApi

        self._name, self.meter = name, meter
        with told_in_one_line(name):
            found = HfApi().model_info(name, revision=revision, files_metadata=True)
        self.revision: str | None = found.sha
        siblings = [file for file in found.siblings or () if "/" not in file.rfilename and file.size is not None]
        self.sizes = {file.rfilename: int(file.size) for file in siblings}

    def file(self, name: str) -> File:
        """As of ``Source``."""
        return HubFile(self._name, self.revision, name, self.sizes[name], self.meter)


class HubFile:
    """A file of a model on the Hub."""

    def __init__(self, repository: str, revision: str | None, name: str, size: int, meter: Meter) -> None:
        from huggingface_hub import hf_hub_url

        self._repository, self._meter = repository, meter
        self._url = hf_hub_url(repository, name, revision=revision)
        # Where the Hub sends us for large files. It is asked once: its links hold for an hour.
        self._at = self._url
        self.name, self.size = name, size

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """As of ``File``, several at once."""
        if not spans:
            return []
        first = self._read(spans[0])
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            return [first, *pool.map(self._read, spans[1:])]
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, span: Span) -> bytes:
        with told_in_one_line(self._repository):
            for attempt in range(_TRIES):
                try:
                    found = self._ask(span, last=attempt + 1 == _TRIES)
                except _transport().TransportError:
                    if attempt + 1 == _TRIES:
                        raise
                    found = 2.0**attempt
                if isinstance(found, bytes):
                    return found
                time.sleep(found)
        raise AssertionError  # the last attempt returns or raises

    def _ask(self, span: Span, last: bool) -> bytes | float:
        """The bytes, or the seconds after which to ask again."""
        from huggingface_hub import constants, get_session
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        url, (start, end) = self._at, span
        # Of a whole file no range is asked, which git's small files may not have.
        part = {} if span == (0, self.size) else {"Range": f"bytes={start}-{end - 1}"}
        # A link to another server signs itself, and is not told who we are.
        headers = (build_hf_headers() if url == self._url else {}) | part | {"Accept-Encoding": "identity"}
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
            if url != self._url and response.status_code in (401, 403, 404):  # the link is too old
                self._at = self._url
                return 0.0
            if response.status_code in _PASSING and not last:
                asked = response.headers.get("Retry-After", "")
                return min(_LONGEST_WAIT, float(asked) if asked.isdigit() else 1.0)
            if response.status_code == 416:
                raise Unscreenable(f"{self.name} is truncated: it ends before byte {end:,}")
            hf_raise_for_status(response)
            if part and response.status_code != 206:
                # What follows is the whole file: leaving closes the connection.
                raise Unscreenable("the server sends no ranges of a file; download the model and name its folder")
            if response.history and response.url.host != response.history[0].url.host:
                self._at = str(response.url)
            return self._body(response, span)

    def _body(self, response: Any, span: Span) -> bytes:
        start, end = span
        found = bytearray()
        for piece in response.iter_raw():
            found += piece
            if len(found) > end - start:
                raise Unscreenable(f"the server sends more of {self.name} than it was asked for")
        self._meter.count(len(found))
        told = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not told.startswith(f"bytes {start}-"):
            raise Unscreenable(f"the server sends another part of {self.name} than it was asked for ({told[:60]!r})")
        if len(found) < end - start:
            raise Unscreenable(f"{self.name} is truncated: it ends at byte {start + len(found):,}")
        return bytes(found)


def cached_folder(name: str, revision: str | None) -> str:
    """The folder of a model in the client's cache, for when the Hub is switched off.

    Raises:
        Unscreenable: where it is not there.
    """
    from huggingface_hub import snapshot_download

    with told_in_one_line(name):
        return str(snapshot_download(name, revision=revision, local_files_only=True))


@contextmanager
def told_in_one_line(name: str) -> Iterator[None]:
    """What the client raises becomes one line that says what helps."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        line = f"gated: ask for access at its page, https://huggingface.co/{name}, and sign in with `hf auth login`"
    except errors.RepositoryNotFoundError:
        line = "no such folder, and no such model on the Hub (or it is private: sign in with `hf auth login`)"
    except errors.RevisionNotFoundError:
        line = "no such revision of it on the Hub"
    except errors.HFValidationError:
        line = "no such folder or file, nor is it the name of a model on the Hub (ORG/MODEL)"
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        line = "not in the cache, and the Hub is switched off (HF_HUB_OFFLINE)"
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        refused = ": sign in with `hf auth login`" if status in (401, 403) else ""
        line = f"the Hub answers {status}{refused}"
    except _transport().HTTPError as error:
        line = f"the Hub cannot be reached ({one_line(error)})"
    else:
        return
    raise Unscreenable(line) from None


def _transport() -> Any:
    """The client's: httpx2, and httpx before huggingface_hub 2."""
    from huggingface_hub.errors import HfHubHTTPError

    return import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
