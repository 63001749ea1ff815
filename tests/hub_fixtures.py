"""Fixtures of the stand-in of the Hub (``hub/``), and of the real client that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hub import WRITER, Hub
from huggingface_hub import HfApi, constants


@contextmanager
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in of its own, which the real client in this process may ask where it is given the address."""
    with Hub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with reachable(monkeypatch) as hub:
        yield hub


@pytest.fixture
def api(hub: Hub) -> HfApi:
    """The client, which may write."""
    return HfApi(endpoint=hub.url, token=WRITER)
