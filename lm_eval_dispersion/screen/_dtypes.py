"""Floating point types of safetensors, as float32. numpy has neither bfloat16 nor the two of eight bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8, "F8_E4M3": 1, "F8_E5M2": 1}
"""Bytes of a number, by the format's name of its type."""


def decode(raw: bytes, dtype: str) -> Float32:
    """[n] numbers, little-endian; in each but F64 every number has its exact value."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype.startswith("F8"):
        return _EIGHT_BITS[dtype][np.frombuffer(raw, np.uint8)]
    with np.errstate(over="ignore"):
        return np.frombuffer(raw, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).astype(np.float32)


def _e4m3() -> Float32:
    """Of each byte the value: bias 7, no infinity, NaN where all seven low bits are set (arXiv 2209.05433)."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10))
    value[(code & 127) == 127] = np.nan
    return np.where(code & 128, -value, value).astype(np.float32)


def _e5m2() -> Float32:
    """Of each byte the value: the upper half of a float16."""
    return (np.arange(256, dtype=np.uint16) << 8).view(np.float16).astype(np.float32)


_EIGHT_BITS = {"F8_E4M3": _e4m3(), "F8_E5M2": _e5m2()}
