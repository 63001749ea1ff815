"""The output projection of a checkpoint, of which rows are read where they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_dispersion.screen._dtypes import BYTES, Float32, decode
from lm_eval_dispersion.screen._fault import Unscreenable
from lm_eval_dispersion.screen._files import File, pieces, read_parts
from lm_eval_dispersion.screen._gguf import Described, GgufHeader
from lm_eval_dispersion.screen._safetensors import Stored

_BLOCK = (128, 128)
"""Rows and columns that share a scale where the configuration does not say (DeepSeek-V3)."""
_LARGEST_SCALE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Matrix:
    """[rows, width] numbers of a file."""

    file: File
    tensor: str
    """Its name."""
    tied: bool
    """Whether it is the input embeddings', too."""
    dtype: str
    rows: int
    """As many as ids, padding included."""
    width: int
    start: int
    """Its first byte in the file."""
    row_bytes: int
    unpack: Callable[[bytes], Float32]
    """[n] numbers of whole rows."""
    scale: Callable[[Sequence[int]], Float32] | None = None
    """By what rows are multiplied: [n, 1], [1, width] or [n, width]."""

    def read(self, ids: Sequence[int]) -> Float32:
        """[n, width], these rows and, but for small gaps, no others.

        Raises:
            Unscreenable: where they cannot be read.
        """
        at = [self.start + i * self.row_bytes for i in ids]
        raw = read_parts(self.file, [(first, first + self.row_bytes) for first in at])
        rows = self.unpack(b"".join(raw)).reshape(len(ids), self.width)
        return rows if self.scale is None else rows * self.scale(ids)


def of_safetensors(weight: Stored, scale: Stored | None, block: Any, tied: bool) -> Matrix:
    """A tensor of a safetensors file.

    Args:
        weight: [rows, width].
        scale: for eight-bit numbers, by what they are multiplied: one number, one a row or column, or one a block.
        block: rows and columns of a block, as ``weight_block_size`` of the configuration says them.
        tied: see ``Matrix``.

    Raises:
        Unscreenable: for other shapes.
    """
    if len(weight.shape) != 2 or min(weight.shape) < 1:
        raise Unscreenable(f"{weight.name} is no matrix, its shape is {list(weight.shape)}")
    rows, width = weight.shape
    sizes = (
        block if isinstance(block, list) and len(block) == 2 and all(type(n) is int and n > 0 for n in block) else None
    )
    return Matrix(
        file=weight.file,
        tensor=weight.name,
        tied=tied,
        dtype=weight.dtype,
        rows=rows,
        width=width,
        start=weight.start,
        row_bytes=width * BYTES[weight.dtype],
        unpack=lambda raw: decode(raw, weight.dtype),
        scale=None if scale is None else _scale(scale, rows, width, tuple(sizes or _BLOCK)),
    )


def _scale(stored: Stored, rows: int, width: int, block: tuple[int, ...]) -> Callable[[Sequence[int]], Float32]:
    size = BYTES[stored.dtype] * int(np.prod(stored.shape, dtype=object))
    if size > _LARGEST_SCALE:
        raise Unscreenable(f"{stored.name} has {size:,} bytes, more than scales have")
    raw = b"".join(stored.file.read(pieces((stored.start, stored.start + size)))) if size else b""
    flat = decode(raw, stored.dtype)
    if flat.size == 1:
        one = flat.reshape(1, 1)
        return lambda ids: one
    if stored.shape in ((rows,), (rows, 1)):
        by_row = flat.reshape(rows, 1)
        return lambda ids: by_row[np.asarray(ids)]
    if stored.shape == (1, width):
        by_column = flat.reshape(1, width)
        return lambda ids: by_column
    high, wide = block
    if stored.shape == (-(-rows // high), -(-width // wide)):
        by_block = flat.reshape(stored.shape)
        return lambda ids: np.repeat(by_block[np.asarray(ids) // high], wide, axis=1)[:, :width]
    raise Unscreenable(f"{stored.name} of shape {list(stored.shape)} does not scale a matrix of {rows} x {width}")


def of_gguf(file: File, header: GgufHeader, name: str) -> Matrix:
    """A tensor of a GGUF file, quantised or not.

    Raises:
        Unscreenable: for one that cannot be, or that the ``gguf`` package does not unpack; where that is not installed.
    """
    try:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize
    except ModuleNotFoundError:
        raise Unscreenable("GGUF is read with the package gguf; pip install gguf") from None
    told: Described = header.tensors[name]
    try:
        kind = GGMLQuantizationType(told.kind)
    except ValueError:
        raise Unscreenable(f"{name} is stored in a way that is not known here (GGML type {told.kind})") from None
    block, size = GGML_QUANT_SIZES[kind]
    if len(told.shape) != 2 or min(told.shape) < 1 or told.shape[1] % block:
        raise Unscreenable(f"{file.name} has a broken header: {name} has shape {list(told.shape)} in {kind.name}")
    rows, width = told.shape
    row_bytes, start = width // block * size, header.data + told.offset
    if start + rows * row_bytes > file.size:
        end = start + rows * row_bytes
        raise Unscreenable(
            f"{file.name} is truncated: it has {file.size:,} bytes, and {name} ends at {end:,}; download it again"
        )

    def unpack(raw: bytes) -> Float32:
        packed: NDArray[Any] = np.frombuffer(raw, np.uint8).reshape(-1, row_bytes)
        with np.errstate(all="ignore"):
            return np.asarray(dequantize(packed, kind), dtype=np.float32)

    try:
        unpack(bytes(row_bytes))
    except NotImplementedError:
        raise Unscreenable(f"{name} is {kind.name}, which the gguf package does not unpack") from None
    tied = name == "token_embd.weight"
    return Matrix(file, name, tied, kind.name, rows, width, start, row_bytes, unpack)
