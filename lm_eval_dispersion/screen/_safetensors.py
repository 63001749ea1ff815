"""The header of a safetensors file: what tensors it holds, and where.

The format: eight bytes with the length n of a JSON object, that object, then the tensors; ``data_offsets`` count from
the end of the object (https://huggingface.co/docs/safetensors). A header is anyone's: nothing in it is trusted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import Any

from lm_eval_dispersion.screen._dtypes import BYTES
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import File, pieces

_LONGEST = 25_000_000
"""Bytes of a header: what the Hub itself takes at most."""


@dataclass(frozen=True)
class Stored:
    """A tensor of a file."""

    file: File
    name: str
    dtype: str
    """As the format spells it, such as ``BF16``."""
    shape: tuple[int, ...]
    start: int
    """Its first byte in the file."""


def read_header(file: File) -> dict[str, dict[str, Any]]:
    """What a file says of its tensors, by name, not yet believed; ``located`` looks at one.

    Raises:
        Unscreenable: where that is no header.
    """
    if file.size < 10:
        raise Unscreenable(f"{file.name} is truncated: it has {file.size} bytes")
    (head,) = file.read([(0, 8)])
    length = int.from_bytes(head, "little")
    if length > _LONGEST:
        raise Unscreenable(f"{file.name} is no safetensors file: its header would have {length:,} bytes")
    if 8 + length > file.size:
        raise Unscreenable(f"{file.name} is truncated: it ends inside its header, at byte {file.size:,}")
    try:
        header = json.loads(b"".join(file.read(pieces((8, 8 + length)))))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not all(isinstance(told, dict) for told in header.values()):
        raise Unscreenable(f"{file.name} is no safetensors file: its header is no JSON object of objects")
    # `located` counts from here; no tensor has this name, for it is taken.
    header["__metadata__"] = {"data": 8 + length}
    return header


def located(file: File, header: dict[str, dict[str, Any]], name: str) -> Stored:
    """One tensor of a header that ``read_header`` has read.

    Raises:
        Unscreenable: where what is said of it cannot be, or its bytes are not there.
    """
    told = header[name]
    dtype, shape, offsets = told.get("dtype"), _counts(told.get("shape")), _counts(told.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2:
        raise Unscreenable(f"{file.name} has a broken header: {name} has no shape or no offsets")
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise Unscreenable(f"{name} is stored as {str(dtype)[:20]}; what can be read is {', '.join(BYTES)}")
    first, last = offsets
    if last - first != prod(shape) * BYTES[dtype]:
        raise Unscreenable(f"{file.name} has a broken header: the offsets of {name} do not fit its shape")
    data = int(header["__metadata__"]["data"])
    if data + last > file.size:
        raise Unscreenable(
            f"{file.name} is truncated: it has {file.size:,} bytes, and {name} ends at {data + last:,}; "
            "download it again"
        )
    return Stored(file, name, dtype, tuple(shape), data + first)


def _counts(value: Any) -> list[int] | None:
    good = isinstance(value, list) and len(value) <= 8 and all(type(n) is int and 0 <= n < 2**63 for n in value)
    return value if good else None
