"""Samples of datasets on the Hugging Face hub, as lm_eval's ``custom_dataset`` with ``dataset_kwargs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion.corpora._sample import sampled, selection

if TYPE_CHECKING:
    from datasets import Dataset


def hub_files(
    *, repository: str, revision: str, files: str, max_documents: int | None = None, **metadata: Any
) -> dict[str, Dataset]:
    """A sample of one split that lies in Parquet files, without the gigabytes of training text beside them.

    ``datasets`` 5 can load a part of a repository (``data_files``), but does not find it again in its cache when
    the hub is out of reach, so the files are taken by ``huggingface_hub``, whose cache serves both.

    Args:
        repository: a dataset's id on the hub.
        revision: the commit.
        files: their glob pattern in the repository.
        max_documents: how many are taken where the run does not say; None is all.
        **metadata: of the run; ``dispersion`` in it may hold ``max_documents`` (a number, or "all") and ``seed``.

    Raises:
        FileNotFoundError: where there are none, or they are not cached and the hub is out of reach.
    """
    from datasets import load_dataset
    from huggingface_hub import snapshot_download

    chosen = selection(repository, metadata.get("dispersion") or {}, max_documents)
    folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=files))
    found = sorted(str(file) for file in folder.glob(files))
    if not found:
        raise FileNotFoundError(f"no file {files} of {repository} at {revision}")
    return {"test": sampled(load_dataset("parquet", data_files={"test": found}, split="test"), chosen)}


def hub_split(
    *,
    repository: str,
    revision: str | None = None,
    config: str | None = None,
    split: str = "test",
    max_documents: int | None = None,
    **metadata: Any,
) -> dict[str, Dataset]:
    """A sample of one split of a dataset that ``datasets`` loads by its id, or from a folder.

    Args:
        repository: a dataset's id on the hub, or a folder.
        revision: the commit.
        config: which of its configurations.
        split: which split; under the name ``test`` here.
        max_documents: how many are taken where the run does not say; None is all.
        **metadata: of the run, as for ``hub_files``.

    Raises:
        ConnectionError, FileNotFoundError, ValueError: what ``datasets.load_dataset`` raises, where it is not cached
            and the hub is out of reach.
    """
    from datasets import load_dataset

    chosen = selection(repository, metadata.get("dispersion") or {}, max_documents)
    return {"test": sampled(load_dataset(repository, config, revision=revision, split=split), chosen)}
