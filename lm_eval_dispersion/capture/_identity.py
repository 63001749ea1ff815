"""What an answer of a model depends on beside the request, for the key of a cache: its weights and its settings."""

from __future__ import annotations

from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lm_eval_dispersion.capture._describe import tokenizer_hash

if TYPE_CHECKING:
    from lm_eval.api.model import LM

# Values read of each tensor, evenly spread: training changes all of them.
_READ = 256
# Attributes of lm_eval's models that change where and how a request is run, and no answer beyond rounding.
_ELSEWHERE = ("batch", "device", "rank", "world_size", "pretrained", "revision")


def fingerprint(model: nn.Module) -> str | None:
    """A SHA-256 of every weight's name, shape, dtype and some of its values; None where they cannot be read.

    It tells checkpoints, adapters and quantisations apart wherever they lie, without reading gigabytes.
    """
    digest = sha256()
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.device.type == "meta":  # offloaded: its values are not here
            return None
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype} ".encode())
        flat = tensor.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // _READ)].contiguous()
        digest.update(some.view(torch.uint8).cpu().numpy().tobytes() if some.numel() else b"")
    return digest.hexdigest()


def settings(lm: LM) -> dict[str, Any]:
    """The plain attributes of an lm_eval model, such as its limit and whether it adds a BOS."""
    plain = (str, int, float, bool, type(None), torch.dtype)
    return {
        name: str(value)
        for name, value in sorted(vars(lm).items())
        if isinstance(value, plain) and not any(word in name for word in _ELSEWHERE)
    } | {"tokenizer": tokenizer_hash(lm.tokenizer), "class": type(lm).__name__}
