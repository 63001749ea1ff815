"""D as anyone would compute it: transformers' own ``output_hidden_states`` and all pairs in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WINDOW, LEAST = 512, 64


def all_pairs(vectors: torch.Tensor) -> float:
    """Mean over pairs of 1 - cos; NaN for fewer than two vectors."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    n = len(unit)
    if n < 2:
        return float("nan")
    cosines = unit @ unit.T
    return float(((1 - cosines).sum() - (1 - cosines).diagonal().sum()) / (n * (n - 1)))


def states(model: Any, tokens: list[int]) -> torch.Tensor:
    """[layers, tokens, d] of one unpadded row."""
    with torch.no_grad():
        out = model(torch.tensor([tokens]), output_hidden_states=True)
    return torch.stack([h[0] for h in out.hidden_states])


def leading(tokens: list[int], special: set[int]) -> int:
    """How many special tokens a list begins with."""
    count = 0
    while count < len(tokens) and tokens[count] in special:
        count += 1
    return count


def profile(vectors: torch.Tensor) -> Floats:
    """[layers] D of [layers, n, d]."""
    return np.array([all_pairs(layer) for layer in vectors])


def document_windows(lm: Any, text: str, special: set[int]) -> list[tuple[torch.Tensor, float, int]]:
    """(vectors [layers, n, d], log-likelihood, scored tokens) of each window, written from the vocabulary.

    Token j is predicted from the tokens before it: of window k, tokens 512 k to 512 (k + 1) are scored, and the
    input is the (at most) 512 tokens before the last of them, with lm_eval's prefix in front of the document.
    """
    size = min(WINDOW, lm.max_length)
    tokens = lm.tok_encode(text)
    whole = [lm.prefix_token_id, *tokens]
    found = []
    for first in range(0, len(tokens), size):
        last = min(first + size, len(tokens))
        begin = max(0, last - size)
        h = states(lm.model, whole[begin:last])
        with torch.no_grad():
            logits = lm.model(torch.tensor([whole[begin:last]])).logits[0].float().log_softmax(-1)
        scored = range(first, last)
        loglikelihood = float(sum(logits[j - begin, tokens[j]] for j in scored))
        skip = leading(whole, special) if first == 0 else 0
        found.append((h[:, first - begin + skip :], loglikelihood, last - first))
    return found


def signals(vectors: torch.Tensor) -> dict[str, float]:
    """Of [n, d], from singular values in float64: each as its source defines it."""
    x = vectors.double().numpy()
    s, centred = (np.linalg.svd(y, compute_uv=False) for y in (x, x - x.mean(0)))
    p, q, m = s**2 / (s**2).sum(), s / s.sum() + 1e-7, centred**2
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    return {
        "effective_rank": float(np.exp(entropy)),
        "rankme": float(np.exp(-(q * np.log(q)).sum())),
        "spectral_entropy": float(entropy),
        "participation_ratio": float(m.sum() ** 2 / (m**2).sum()),
        "mean_unit_norm": float(np.linalg.norm((x / np.linalg.norm(x, axis=1, keepdims=True)).mean(0))),
        "top_channel_share": float((x**2).sum(0).max() / (x**2).sum()),
        "dispersion_without_first": all_pairs(vectors[1:]),
    }
