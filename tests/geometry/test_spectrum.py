"""Signals of a Gram matrix against singular values in float64, another library, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IsoScore.IsoScore import IsoScore
from reference import signals
from torch import Tensor

from lm_eval_dispersion.geometry import SIGNALS, dispersion, spectrum

# The same examples on every run, and nothing written to disk.
PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
SIZES = [(3, 2), (2, 3), (40, 7), (7, 40), (64, 64), (300, 96)]


def some_vectors(seed: int, n: int, d: int) -> Tensor:
    """Around a common direction, with a massive channel, of norms far apart."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator) + torch.randn(d, generator=generator)
    x[:, seed % d] *= 20
    return x * 10 ** (2 * torch.rand(n, 1, generator=generator) - 1)


def named(x: Tensor) -> dict[str, float]:
    return dict(zip(SIGNALS, spectrum(x).tolist(), strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_each_is_what_singular_values_say(size: tuple[int, int], dtype: torch.dtype) -> None:
    x = some_vectors(1, *size).to(dtype)
    found = spectrum(x)
    assert found.dtype == torch.float64 and found.shape == (len(SIGNALS),)
    assert named(x) == pytest.approx(signals(x), rel=1e-6, abs=1e-9, nan_ok=True)
    assert np.isnan(found.tolist()).any() == (size[0] == 2)  # two vectors, and none is left without the first


@pytest.mark.parametrize(("n", "d"), [(100, 3), (60, 17), (1000, 40)])
def test_the_participation_ratio_is_isoscore_as_its_authors_compute_it(n: int, d: int) -> None:
    x = some_vectors(2, n, d)
    theirs = float(IsoScore(x.double().numpy()))  # some of it in float32
    assert (named(x)["participation_ratio"] - 1) / (d - 1) == pytest.approx(theirs, abs=1e-6)


@PROPERTY
@given(st.sampled_from(SIZES), st.integers(0, 2**20), st.floats(1e-3, 1e3))
def test_neither_a_rotation_nor_a_scale_changes_any_but_the_share_of_a_channel(
    size: tuple[int, int], seed: int, scale: float
) -> None:
    x = some_vectors(seed, *size).double()
    rotation = torch.linalg.qr(some_vectors(seed + 1, size[1], size[1]).double())[0]
    plain, turned = named(x), named(scale * x @ rotation)
    turned["top_channel_share"] = plain["top_channel_share"]
    assert turned == pytest.approx(plain, rel=1e-6, abs=1e-7, nan_ok=True)
    assert named(scale * x)["top_channel_share"] == pytest.approx(plain["top_channel_share"])
    # What D is a function of.
    n, r = size[0], plain["mean_unit_norm"]
    assert n / (n - 1) * (1 - r * r) == pytest.approx(dispersion(x).item(), abs=1e-9)


def test_vectors_of_one_direction_have_rank_one() -> None:
    x = torch.linspace(1, 3, 50).unsqueeze(1) * torch.tensor([1.0, 2.0, 2.0])
    found = named(x)
    assert found["effective_rank"] == pytest.approx(1) and found["spectral_entropy"] == pytest.approx(0, abs=1e-9)
    assert found["participation_ratio"] == pytest.approx(1) and found["mean_unit_norm"] == pytest.approx(1)
    assert found["rankme"] == pytest.approx(1, abs=1e-4) and found["top_channel_share"] == pytest.approx(4 / 9)
    assert found["dispersion_without_first"] == pytest.approx(0, abs=1e-6)


def test_vectors_in_all_directions_alike_have_full_rank() -> None:
    d = 12
    found = named(torch.cat([torch.eye(d), -torch.eye(d)]))
    assert found["effective_rank"] == pytest.approx(d) and found["spectral_entropy"] == pytest.approx(np.log(d))
    assert found["rankme"] == pytest.approx(d, rel=1e-4) and found["participation_ratio"] == pytest.approx(d)
    assert found["mean_unit_norm"] == pytest.approx(0) and found["top_channel_share"] == pytest.approx(1 / d)


def test_vectors_that_are_zero_or_not_finite_are_left_out() -> None:
    x = some_vectors(3, 9, 5)
    bad = torch.stack([torch.zeros(5), torch.full((5,), torch.nan), torch.tensor([1, torch.inf, 0, 0, 0])])
    assert named(torch.cat([bad, x[:4], bad, x[4:]])) == pytest.approx(named(x), nan_ok=True)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_vectors_have_none(n: int) -> None:
    x = torch.cat([some_vectors(4, 3, 5)[:n], torch.zeros(2, 5)])
    assert np.isnan(spectrum(x).tolist()).all()


def test_vectors_that_are_all_the_same_have_no_participation_ratio() -> None:
    found = named(torch.full((7, 5), 0.3))
    assert [name for name, value in found.items() if np.isnan(value)] == ["participation_ratio"]
