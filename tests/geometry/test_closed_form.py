"""`dispersion` against a float64 brute force over all pairs, and the facts users of it rely on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import directional_stats
from torch import Tensor

from lm_eval_dispersion.geometry import closed_form, dispersion, unit_sums

DTYPES = [torch.bfloat16, torch.float16, torch.float32]
# The same examples on every run, and nothing written to disk.
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def brute_force(vectors: Tensor) -> float:
    """The mean of 1 - cos over all ordered pairs of [n, d] vectors, pair by pair in float64."""
    x = vectors.to(torch.float64)
    x = x / x.norm(dim=-1, keepdim=True)
    n, summed = len(x), 0.0
    for start in range(0, n, 1024):
        distance = 1 - x[start : start + 1024] @ x.T
        distance.diagonal(offset=start).zero_()
        summed += distance.sum().item()
    return summed / (n * (n - 1))


def some_vectors(seed: int, *shape: int, spread: float = 1.0) -> Tensor:
    """Vectors around a common direction (the smaller the spread, the smaller D), of norms far apart."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(shape[-1], generator=generator)
    noise = torch.randn(*shape, generator=generator)
    scale = torch.logspace(-1, 1, shape[-2])[torch.randperm(shape[-2], generator=generator)]
    return (centre + spread * noise) * scale.unsqueeze(-1)


@st.composite
def sizes(draw: st.DrawFn, work: float = 2.0**31) -> tuple[int, int]:
    """n and d from 2 to 8192, evenly on a log scale, as far as n^2 d is affordable."""

    def up_to(limit: float) -> int:
        exponent = draw(st.floats(1, np.log2(limit)))
        return min(round(2**exponent), int(limit))

    if draw(st.booleans()):
        n = up_to(8192)
        return n, up_to(max(2, min(8192, work / n**2)))
    d = up_to(8192)
    return up_to(max(2, min(8192, (work / d) ** 0.5))), d


spreads = st.sampled_from([0.01, 0.3, 1.0, 30.0])
seeds = st.integers(0, 2**31)


@PROPERTY
@given(sizes(), st.sampled_from(DTYPES), spreads, seeds)
def test_dispersion_is_the_mean_over_all_pairs(
    size: tuple[int, int], dtype: torch.dtype, spread: float, seed: int
) -> None:
    x = some_vectors(seed, *size, spread=spread).to(dtype)
    result = dispersion(x)
    assert result.dtype == torch.float64 and result.shape == ()
    assert result.item() == pytest.approx(brute_force(x), abs=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d"), [(2, 2), (8192, 2), (2, 8192), (8192, 64), (64, 8192)])
def test_dispersion_at_the_corners_of_the_range(n: int, d: int, dtype: torch.dtype) -> None:
    x = some_vectors(1, n, d, spread=2.0).to(dtype)
    assert dispersion(x).item() == pytest.approx(brute_force(x), abs=1e-5)


@PROPERTY
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(2, 40),
    st.integers(2, 40),
    st.sampled_from(DTYPES),
    seeds,
)
def test_batches_over_layers_and_segments_with_masks(
    layers: int, segments: int, n: int, d: int, dtype: torch.dtype, seed: int
) -> None:
    x = some_vectors(seed, layers, segments, n, d).to(dtype)
    mask = torch.rand(layers, segments, n, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., :2] = True
    x[~mask] = torch.nan  # padding never counts, whatever it holds
    result, sums = dispersion(x, mask), unit_sums(x, mask)
    assert result.shape == (layers, segments)
    assert torch.equal(sums.count, mask.sum(-1))
    assert not sums.zero.any() and not sums.nonfinite.any()
    for i in range(layers):
        for j in range(segments):
            assert result[i, j].item() == pytest.approx(brute_force(x[i, j][mask[i, j]]), abs=1e-5)


def test_more_vectors_than_are_worked_on_at_a_time() -> None:
    x = some_vectors(2, 2100, 8192, spread=2.0).to(torch.bfloat16)  # n x d is above 2^24
    x[[0, 2099]] = 0.0
    mask = torch.arange(2100) % 3 > 0
    sums = unit_sums(x, mask)
    assert (sums.count.item(), sums.zero.item()) == (mask.sum().item() - 1, 1)
    assert dispersion(x, mask).item() == pytest.approx(brute_force(x[1:-1][mask[1:-1]]), abs=1e-5)


def test_more_segments_than_are_worked_on_at_a_time() -> None:
    x = some_vectors(2, 20, 1024, 1024) + torch.arange(20).view(-1, 1, 1) / 10  # each segment its own D
    result = dispersion(x)
    assert len(result.round(decimals=3).unique()) == 20
    assert result.tolist() == pytest.approx([brute_force(row) for row in x], abs=1e-5)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1),
        lambda x: x.transpose(1, 2),
        lambda x: x[:, ::2, 1::3],
        lambda x: x[:, 3:17],
        lambda x: x[:1].expand(5, -1, -1),
    ],
    ids=["segments-inside", "components-inside", "strided", "sliced", "expanded"],
)
def test_non_contiguous_input(view: Callable[[Tensor], Tensor]) -> None:
    x = view(some_vectors(3, 6, 20, 30))
    assert not x.is_contiguous()
    assert dispersion(x).tolist() == pytest.approx([brute_force(row) for row in x], abs=1e-5)


@PROPERTY
@given(st.integers(2, 300), st.integers(2, 300), spreads, seeds)
def test_dispersion_is_the_mean_resultant_length_of_directional_statistics(
    n: int, d: int, spread: float, seed: int
) -> None:
    x = some_vectors(seed, n, d, spread=spread).to(torch.float64)
    length = directional_stats(x.numpy()).mean_resultant_length
    # float64 input is summed in float64, so far more than float32's digits agree
    assert dispersion(x).item() == pytest.approx(n / (n - 1) * (1 - length**2), abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_of_one_direction_have_no_dispersion(dtype: torch.dtype) -> None:
    x = some_vectors(4, 1, 96).expand(500, 96).to(dtype)
    assert 0 <= dispersion(x).item() < 1e-6
    assert 0 <= dispersion(x * torch.logspace(-2, 2, 500).unsqueeze(-1)).item() < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_opposite_pair_has_dispersion_two(dtype: torch.dtype) -> None:
    x = some_vectors(5, 1, 96).to(dtype)
    assert 2 - 1e-6 < dispersion(torch.cat([x, -2 * x])).item() <= 2


def test_rounding_crosses_neither_bound() -> None:
    count = torch.arange(2, 5000)
    n = count.double()
    for nothing in (0.0, -1e-6):  # a difference of sums may round to below zero
        assert torch.equal(closed_form(torch.full_like(n, nothing), count), n / (n - 1))
    assert torch.equal(closed_form(n**2 * (1 + 1e-7), count), torch.zeros_like(n))


def test_orthogonal_vectors_have_dispersion_one() -> None:
    assert dispersion(torch.eye(64)).item() == 1


@PROPERTY
@given(st.integers(2, 100), st.integers(2, 100), seeds)
def test_dispersion_ignores_the_length_of_each_vector(n: int, d: int, seed: int) -> None:
    x = some_vectors(seed, n, d)
    generator = torch.Generator().manual_seed(seed)
    powers = torch.randint(-40, 40, (n, 1), generator=generator)
    # a power of two changes no digit, so the result is the same to the last bit
    assert dispersion(torch.ldexp(x, powers)).item() == dispersion(x).item()
    lengths = 10 ** (30 * torch.rand(n, 1, generator=generator) - 15)
    assert dispersion(x * lengths).item() == pytest.approx(dispersion(x).item(), abs=1e-6)


@PROPERTY
@given(st.integers(2, 60), st.integers(1, 40), st.sampled_from([*DTYPES, torch.float64]), seeds)
def test_zero_and_non_finite_vectors_are_counted_and_left_out(n: int, d: int, dtype: torch.dtype, seed: int) -> None:
    x = some_vectors(seed, n, d).to(dtype)
    choice = np.random.default_rng(seed)
    kind = torch.from_numpy(choice.choice(5, n, p=[0.6, 0.1, 0.1, 0.1, 0.1]))
    where = int(choice.integers(d))
    x[kind == 1] = 0.0
    for code, value in ((2, torch.nan), (3, torch.inf), (4, -torch.inf)):
        x[kind == code, where] = value
    good = kind == 0
    sums = unit_sums(x)
    assert (sums.count.item(), sums.zero.item(), sums.nonfinite.item()) == (
        good.sum().item(),
        (kind == 1).sum().item(),
        (kind >= 2).sum().item(),
    )
    result = dispersion(x).item()
    assert result == pytest.approx(dispersion(x, good).item(), abs=0, nan_ok=True)
    if good.sum() >= 2:
        assert result == pytest.approx(brute_force(x[good]), abs=1e-5)
    else:
        assert np.isnan(result)
    # where the mask leaves them out they are not even counted
    masked = unit_sums(x, good)
    assert (masked.zero.item(), masked.nonfinite.item()) == (0, 0)
    assert torch.equal(masked.total, sums.total)


def test_norms_outside_float32_count_as_zero_or_non_finite() -> None:
    x = torch.tensor([[1e-30, 1e-30], [1e30, 1e30], [1.0, 0.0], [0.0, 1.0]])
    sums = unit_sums(x)
    assert (sums.count.item(), sums.zero.item(), sums.nonfinite.item()) == (2, 1, 1)
    assert dispersion(x).item() == 1
    # float64 has room for them
    assert dispersion(x.double()).item() == pytest.approx(brute_force(x), abs=1e-12)


def test_fewer_than_two_vectors_have_no_dispersion() -> None:
    x = some_vectors(6, 4, 5, 8)
    assert dispersion(x[:, :1]).isnan().all()
    mask = torch.arange(5) < torch.arange(4).unsqueeze(1)  # 0, 1, 2 and 3 vectors
    assert dispersion(x, mask).isnan().tolist() == [True, True, False, False]
    assert dispersion(torch.zeros(7, 3)).isnan()


def test_no_vectors_at_all_have_no_dispersion() -> None:
    result = dispersion(torch.zeros(3, 0, 8))
    assert result.shape == (3,) and result.isnan().all()
    assert dispersion(torch.zeros(0, 8)).isnan()
    assert dispersion(torch.zeros(0, 4, 8)).shape == (0,)


@pytest.mark.parametrize(
    ("vectors", "mask", "says"),
    [
        (torch.ones(5), None, r"\[\.\.\., n, d\].*\[5\]"),
        (torch.ones(5, 3, dtype=torch.int64), None, "floating point.*int64"),
        (torch.ones(5, 3, dtype=torch.complex64), None, "floating point.*complex64"),
        (torch.ones(2, 5, 3), torch.ones(5, dtype=torch.bool), r"\[2, 5\].*\[5\]"),
        (torch.ones(5, 3), torch.ones(5, 3, dtype=torch.bool), r"\[5\].*\[5, 3\]"),
        (torch.ones(5, 3), torch.ones(5), "bool.*float32"),
    ],
)
def test_a_shape_or_dtype_that_does_not_fit_is_refused(vectors: Tensor, mask: Tensor | None, says: str) -> None:
    for function in (dispersion, unit_sums):
        with pytest.raises(ValueError, match=says):
            function(vectors, mask)


def test_the_input_is_not_changed() -> None:
    x = some_vectors(7, 3, 10, 6)
    x[0, 0], x[1, 1] = 0.0, torch.nan
    before = x.clone()
    dispersion(x)
    assert torch.equal(x.nan_to_num(9.0), before.nan_to_num(9.0))


class _OnMPS(Tensor):
    """Refuses what a tensor on an MPS device refuses: it has no float64."""

    device = torch.device("mps")

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)

    def to(self, dtype: torch.dtype) -> Tensor:  # type: ignore[override]
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return super().to(dtype)


def test_devices_without_float64_are_served() -> None:
    sums = unit_sums(some_vectors(8, 3, 10, 6))
    square = sums.total.square().sum(-1)
    result = closed_form(square.as_subclass(_OnMPS), sums.count.as_subclass(_OnMPS))
    assert type(result) is Tensor
    assert torch.equal(result, closed_form(square, sums.count))


_PEAK = """
import resource, sys, torch
from lm_eval_dispersion.geometry import dispersion

unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
many, long = torch.randn(20_000, 8), torch.ones(128, 1024, 1024, dtype=torch.bfloat16)
dispersion(many[:100]), dispersion(long[:1, :100])
for x in (many, long):
    before = peak()
    dispersion(x)
    print(peak() - before)
"""


def test_memory_stays_far_below_all_pairs_and_below_a_float32_copy() -> None:
    run = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True)
    many, long = map(int, run.stdout.split())
    assert many < 20_000**2 * 4 / 50
    assert long < 128 * 1024 * 1024 * 4 * 0.6
