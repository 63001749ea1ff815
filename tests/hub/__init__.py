"""A loopback stand-in of the Hugging Face Hub, for the real ``datasets`` and ``huggingface_hub`` clients.

It holds repositories of datasets, models and Spaces with their history, and jobs; it answers what the clients ask
before a download (revision, tree, paths), files and ranges of them, lists of models, what they send to write: creating
a repository, asking how to upload, large files, commits; and what they ask about jobs. What it does not hold is
answered 404 with the error code the clients read. A process uses it through ``Hub.environment``; a test queues
refusals with ``Hub.fail``, and makes them happen now and then with ``Hub.fail_often``.
"""

from __future__ import annotations

from hub._blob import Blob
from hub._content import Repository
from hub._datasets import card, parquet
from hub._faults import Fault
from hub._jobs import Job, in_a_subprocess
from hub._server import WRITER, Hub

__all__ = ["WRITER", "Blob", "Fault", "Hub", "Job", "Repository", "card", "in_a_subprocess", "parquet"]
