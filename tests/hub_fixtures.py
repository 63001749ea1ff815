"""Fixtures of the stand-in of the Hub (``hub/``), and of the real client that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hub import WRITER, Hub
from huggingface_hub import HfApi, constants


@contextmanager
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in of its own, to which the real client in this process is sent, and where it may write."""
    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", WRITER)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with loopback(monkeypatch) as hub:
        yield hub


@pytest.fixture
def api(hub: Hub) -> HfApi:
    """The client, which may write."""
    return HfApi(endpoint=hub.url, token=WRITER)
