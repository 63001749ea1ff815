"""Datasets as most are published: Parquet files and a card that says which is what."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from datasets import Dataset

Splits = Mapping[str, "Dataset"]


def parquet(dataset: Dataset) -> bytes:
    """The rows as one Parquet file, with the ``datasets`` features in its metadata as on the Hub."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(dataset.with_format("arrow")[:], buffer)
    return buffer.getvalue()


def card(configs: Mapping[str, Splits], paths: Mapping[tuple[str, str], str]) -> bytes:
    """A dataset card whose YAML says which paths hold which (config, split), and what is in it."""
    listed, described = [], []
    for config, splits in configs.items():
        listed.append({"config_name": config, "data_files": [{"split": s, "path": paths[config, s]} for s in splits]})
        sizes = [{"name": s, "num_bytes": rows.data.nbytes, "num_examples": len(rows)} for s, rows in splits.items()]
        features = next(iter(splits.values())).features._to_yaml_list()
        described.append({"config_name": config, "features": features, "splits": sizes})
    return f"---\n{yaml.safe_dump({'configs': listed, 'dataset_info': described})}---\n".encode()


def published(configs: Mapping[str, Splits]) -> dict[str, bytes]:
    """The files of a dataset: one Parquet file for each split of each config, and the card."""
    stems = {(config, split): f"{config}/{split}-" for config, splits in configs.items() for split in splits}
    files = {f"{stem}00000-of-00001.parquet": parquet(configs[c][s]) for (c, s), stem in stems.items()}
    return files | {"README.md": card(configs, {key: f"{stem}*" for key, stem in stems.items()})}
