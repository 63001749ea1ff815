"""Sums of unit vectors as products, and where products are not to be trusted; against float64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lm_eval_dispersion.geometry import closed_form, unit_sums


@pytest.fixture(params=["highest", "medium"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the user of torch allows to products of float32 matrices."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 512])
@pytest.mark.parametrize("spread", [0.0, 1.0], ids=["alike", "apart"])
def test_sums_keep_float32s_digits_whatever_products_are_allowed(precision: str, n: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(n)
    centre, noise = torch.randn(2, 1, 64, generator=generator), torch.randn(2, n, 64, generator=generator)
    x = (centre + spread * noise) * (0.1 + torch.rand(2, n, 1, generator=generator))
    mask = torch.rand(2, n, generator=generator) < 0.9
    expected = (torch.nn.functional.normalize(x.double(), dim=-1) * mask.unsqueeze(-1)).sum(1)
    found = unit_sums(x, mask)
    torch.testing.assert_close(found.total.double(), expected, atol=2e-6 * n**0.5, rtol=1e-6)
    d, right = (closed_form(total.square().sum(-1), mask.sum(1)) for total in (found.total, expected))
    torch.testing.assert_close(d, right, atol=5e-7, rtol=0, equal_nan=True)
