"""Some files of a dataset on the Hugging Face hub, without the gigabytes of training text beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset


def hub_files(*, repository: str, revision: str, files: str, **_: Any) -> dict[str, Dataset]:
    """The Parquet files of one split, as lm_eval's ``custom_dataset`` with these three as ``dataset_kwargs``.

    ``datasets`` 5 can load a part of a repository (``data_files``), but does not find it again in its cache when
    the hub is out of reach, so the files are taken by ``huggingface_hub``, whose cache serves both.

    Args:
        repository: a dataset's id on the hub.
        revision: the commit.
        files: their glob pattern in the repository.

    Raises:
        FileNotFoundError: where there are none, or they are not cached and the hub is out of reach.
    """
    from datasets import load_dataset
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=files))
    found = sorted(str(file) for file in folder.glob(files))
    if not found:
        raise FileNotFoundError(f"no file {files} of {repository} at {revision}")
    return {"test": load_dataset("parquet", data_files={"test": found}, split="test")}
