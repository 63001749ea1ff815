"""The push-away objective of arXiv 2506.24106, in O(n d)."""

from __future__ import annotations

import torch
from torch import Tensor

from lm_eval_dispersion.training._pairs import pair_cosines, pair_count
from lm_eval_dispersion.training._unit_sums import sums_by_domain
from lm_eval_dispersion.training._vectors import vectors


def push_away(hidden: Tensor, mask: Tensor | None = None, domains: Tensor | None = None) -> Tensor:
    """Minus the mean pairwise cosine distance: lower, the farther apart the vectors (arXiv 2506.24106).

    The value and its gradient are those of the definition over all n^2 pairs; they take O(n d) time, and no memory but
    a block of float32 and the gradient.

    Args:
        hidden: [..., n, d], any float dtype: hidden states of a batch, whose vectors are taken together.
        mask: [..., n], bool: True where a vector counts. All count when it is left out.
        domains: [..., n], or [...] for one a row, integers: with them the mean is over pairs of vectors of two
            different domains (cross-domain), and vectors of one domain are not pushed from each other.

    Returns:
        [], float32 (float64 for float64 input): ``-dispersion`` of these vectors, from -n / (n - 1) to 0. Zero, with a
        gradient of zero, where there is no pair: of fewer than two vectors, or a single domain. Zero and non-finite
        vectors are left out and get no gradient.

    Raises:
        ValueError: for a shape or dtype that does not fit.
    """
    given = vectors(hidden, mask, domains)
    sums, count, _ = sums_by_domain(given.hidden, given.owner, given.domains)
    pairs = pair_count(count, given.cross)
    distances = pairs - pair_cosines(sums, count, given.cross)
    return torch.where(pairs > 0, -distances / pairs.clamp(min=1), 0.0).to(sums.dtype)
