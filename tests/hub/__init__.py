"""A loopback stand-in of the Hugging Face Hub, for the real ``datasets`` and ``huggingface_hub`` clients.

It holds repositories of datasets and of Spaces, with their history, in memory, and answers what the clients ask before
a download (revision, tree, paths), whole files (no ranges, so no streaming), and what they send to write: creating a
repository, asking how to upload, large files, commits. What it does not hold is answered 404 with the error code the
clients read. A process uses it through ``Hub.environment``; a test queues refusals with ``Hub.fail``.
"""

from __future__ import annotations

from hub._content import Repository
from hub._datasets import card, parquet
from hub._server import WRITER, Fault, Hub

__all__ = ["WRITER", "Fault", "Hub", "Repository", "card", "parquet"]
