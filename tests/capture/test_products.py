"""Sums of unit vectors as matrix products, against float64; as a GPU does them, but for the order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lm_eval_dispersion.capture._products import UnitProducts
from lm_eval_dispersion.geometry import closed_form, unit_sums

ROWS, N, D = 3, 200, 96


def states(count: int, spread: float) -> Tensor:
    """[count, rows, n, d] around one direction a row, of norms far apart."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(1, ROWS, 1, D, generator=generator)
    scale = 10 ** (6 * torch.rand(count, ROWS, N, 1, generator=generator) - 3)
    return ((centre + spread * torch.randn(count, ROWS, N, D, generator=generator)) * scale).bfloat16()


def some_members() -> Tensor:
    """Of each row all but the first, the last alone, every third, and none."""
    members = torch.zeros(ROWS, 4, N, dtype=torch.bool)
    members[:, 0, 1:], members[:, 1, -1], members[:, 2, ::3] = True, True, True
    return members


def summed(x: Tensor, members: Tensor, at_once: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Of every set of members, so many states at a time: [states, rows, sets, d], and twice [states, rows, sets]."""
    found = []
    for which in range(members.shape[1]):
        products = UnitProducts(members[:, which])
        found.append((torch.cat([products.total(some) for some in x.split(at_once)]), *products.counts()))
    total, count, zero = (torch.stack(column, 2) for column in zip(*found, strict=True))
    return total, count, zero


@pytest.mark.parametrize("at_once", [1, 2, 5], ids=["one", "two", "all"])
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 30.0])
def test_products_are_the_sums_to_float32s_digits(spread: float, at_once: int) -> None:
    x, members = states(5, spread), some_members()
    total, count, zero = summed(x, members, at_once)
    assert total.dtype == torch.float32
    assert torch.equal(count, members.sum(-1).expand(5, -1, -1)) and not zero.any()
    for layer, state in enumerate(x):
        unit = torch.nn.functional.normalize(state.double(), dim=-1)
        expected = members.double() @ unit
        torch.testing.assert_close(total[layer].double(), expected, atol=1e-4, rtol=1e-6)
        found, right = (closed_form(s.square().sum(-1), count[layer]) for s in (total[layer], expected))
        torch.testing.assert_close(found, right, atol=1e-6, rtol=0, equal_nan=True)


def test_zero_and_non_finite_vectors_are_left_out_and_counted_as_elsewhere() -> None:
    x, members = states(2, 1.0), some_members()
    x[0, 0, 5:9], x[0, 0, 12, 3], x[0, 1, 3, 0], x[1, 2, 6, 95] = 0.0, torch.nan, torch.inf, -torch.inf
    x[1, 1, 30] = 1e30  # its norm overflows float32
    x[1, 1, 33] = 1e-30  # and this one's is zero there
    x[:, 2, 0] = torch.nan  # nobody's, but of the third set
    total, count, zero = summed(x, members)
    assert total.isfinite().all()
    for which in range(3):
        alone = unit_sums(x, members[:, which].expand(2, -1, -1))
        torch.testing.assert_close(total[:, :, which], alone.total, atol=1e-4, rtol=1e-6)
        assert torch.equal(count[:, :, which], alone.count) and torch.equal(zero[:, :, which], alone.zero)
    assert zero.sum() == 4 + 1 + 1 + 1 and count[0, 0, 0] == N - 1 - 5
