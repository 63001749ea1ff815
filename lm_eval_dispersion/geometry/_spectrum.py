"""Signals of the spectrum of n vectors, from their n x n Gram matrix: O(n^2 d), and never a d x d matrix.

With X, [n, d], the eigenvalues l_k of G = X X^T are the squared singular values of X, and the non-zero ones of d x d
matrices of second moments. Each signal is defined at the function that takes it; ``spectrum`` takes all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lm_eval_dispersion.geometry._closed_form import dispersion, unit_sums

# In the order of what `spectrum` returns.
SIGNALS = (
    "effective_rank",
    "rankme",
    "spectral_entropy",
    "participation_ratio",
    "mean_unit_norm",
    "top_channel_share",
    "dispersion_without_first",
)
# RankMe's own, for single precision (Garrido et al. 2023, section 3.1).
_EPSILON = 1e-7
# Of the vectors' energy: variance below it is what rounding leaves of none.
_NO_VARIANCE = 1e-13


def spectrum(vectors: Tensor) -> Tensor:
    """The ``SIGNALS`` of some vectors, taken in float64.

    Args:
        vectors: [n, d], any float dtype, on any device.

    Returns:
        [signals], float64. Zero and non-finite vectors are left out, as for D; NaN where a signal is not defined: all
        of them where fewer than two vectors remain, D without the first where fewer than three do, the participation
        ratio where they are all the same. On the CPU for input from an MPS device, which has no float64.
    """
    norm = torch.linalg.vector_norm(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)
    x = vectors[norm.isfinite() & (norm > 0)]
    x = (x.cpu() if x.device.type == "mps" else x).double()
    if len(x) < 2:
        return torch.full((len(SIGNALS),), torch.nan, dtype=torch.float64, device=x.device)
    gram = x @ x.mT
    eigenvalues = torch.linalg.eigvalsh(gram).clamp(min=0.0)
    entropy = spectral_entropy(eigenvalues)
    return torch.stack([
        entropy.exp(),
        rankme(eigenvalues, min(x.shape)),
        entropy,
        participation_ratio(gram),
        mean_unit_norm(x),
        top_channel_share(x),
        dispersion(x[1:]),
    ])  # fmt: skip


def spectral_entropy(eigenvalues: Tensor) -> Tensor:
    """H(p) = - sum p_k ln p_k in nats, with p_k = l_k / sum l; 0 for vectors of one direction, ln min(n, d) at most.

    The matrix-based entropy of order one of Skean et al. 2025 ("Layer by Layer", arXiv 2502.02013). Its exponential is
    the effective rank: that of Roy and Vetterli 2007 ("The effective rank", EUSIPCO), taken over eigenvalues.

    Args:
        eigenvalues: [n], of the Gram matrix, none of them negative.
    """
    return torch.special.entr(eigenvalues / eigenvalues.sum()).sum()


def rankme(eigenvalues: Tensor, rank: int) -> Tensor:
    """exp(- sum p_k ln p_k), with p_k = s_k / sum s + 1e-7 over singular values s_k = sqrt(l_k).

    Garrido et al. 2023 ("RankMe", arXiv 2210.02885), equation (1), which sums over min(n, d) values. That is Roy and
    Vetterli's own effective rank, but for the constant.

    Args:
        eigenvalues: [n], of the Gram matrix, in ascending order, none of them negative.
        rank: min(n, d), the most that are not zero.
    """
    values = eigenvalues[-rank:].sqrt()
    return torch.special.entr(values / values.sum() + _EPSILON).sum().exp()


def participation_ratio(gram: Tensor) -> Tensor:
    """(sum m_k)^2 / sum m_k^2 over the eigenvalues m_k of the centred covariance, 1 to min(n - 1, d); NaN if all are 0.

    Its IsoScore (Rudman et al. 2022, arXiv 2108.07344, algorithm 1) is (PR - 1) / (d - 1), exactly: their isotropy
    defect of the normalised variances is sqrt((d - sqrt(d PR)) / (d - sqrt d)), and their score is linear in PR.

    Args:
        gram: [n, n], of vectors that are not centred.
    """
    row = gram.mean(0)
    centred = gram - row - row.unsqueeze(1) + row.mean()
    total = centred.diagonal().sum()
    ratio = total.square() / centred.square().sum()
    return torch.where(total > _NO_VARIANCE * gram.diagonal().sum(), ratio, torch.nan)


def mean_unit_norm(x: Tensor) -> Tensor:
    """R = |sum u_i| / n of unit vectors u_i, the mean resultant length of directional statistics.

    D = n / (n - 1) (1 - R^2): the same information as D at one n, without its correction for n.

    Args:
        x: [n, d], none of them zero.
    """
    return unit_sums(x).total.norm() / len(x)


def top_channel_share(x: Tensor) -> Tensor:
    """The largest share of the energy in one component: max_j sum_i x_ij^2 / sum_ij x_ij^2, from 1/d to 1.

    It is near one where a few massive activations stand out (Sun et al. 2024, arXiv 2402.17762).

    Args:
        x: [n, d], not all zero.
    """
    energy = x.square().sum(0)
    return energy.max() / energy.sum()
