"""Values and gradients of the objectives against autograd of their definitions, n x n in float64."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import definitions
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lm_eval_dispersion.geometry import dispersion
from lm_eval_dispersion.training import dispersive, koleo, mean_cosine, push_away, uniformity

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)
OBJECTIVES = [push_away, mean_cosine, dispersive, uniformity, koleo]
Objective = Callable[..., Tensor]


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor | None]:
    """Hidden states in float64, a mask and perhaps domains, with at least one pair."""
    b, n, d = draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.integers(2, 17))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    spread = draw(st.sampled_from([0.1, 1.0, 10.0]))
    hidden = torch.randn(d, generator=generator) + spread * torch.randn(b, n, d, generator=generator)
    hidden = hidden * 10 ** (2 * torch.rand(b, n, 1, generator=generator) - 1)
    mask = torch.rand(b, n, generator=generator) < draw(st.sampled_from([0.4, 1.0]))
    domains = {
        "single": None,
        "rows": torch.randint(0, 2, (b,), generator=generator),
        "vectors": 7 * torch.randint(-1, 2, (b, n), generator=generator),
    }[draw(st.sampled_from(["single", "rows", "vectors"]))]
    assume(definitions.pairs(*flat(hidden, mask, domains)[1:]).any())
    return hidden.double(), mask, domains


def flat(hidden: Tensor, mask: Tensor, domains: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    if domains is not None and domains.ndim < mask.ndim:
        domains = domains.unsqueeze(-1).expand(mask.shape)
    return hidden.flatten(0, -2), mask.flatten(), None if domains is None else domains.flatten()


def value_and_gradient(objective: Objective, hidden: Tensor, *rest: Tensor | None) -> tuple[Tensor, Tensor]:
    hidden = hidden.clone().requires_grad_()
    value = objective(hidden, *rest)
    value.backward()
    assert hidden.grad is not None
    return value.detach(), hidden.grad


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.__name__)
@PROPERTY
@given(batch=batches())
def test_value_and_gradient_are_those_of_the_definition(
    objective: Objective, batch: tuple[Tensor, Tensor, Tensor | None]
) -> None:
    value, gradient = value_and_gradient(objective, *batch)
    definition = getattr(definitions, objective.__name__)
    expected, expected_gradient = value_and_gradient(lambda *given: definition(*flat(*given)), *batch)
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        gradient, expected_gradient, rtol=1e-6, atol=1e-12 + 1e-8 * float(expected_gradient.abs().max())
    )


@PROPERTY
@given(batch=batches(), dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_half_precision_is_summed_in_float32(batch: tuple[Tensor, Tensor, Tensor | None], dtype: torch.dtype) -> None:
    hidden, mask, domains = batch[0].to(dtype), *batch[1:]
    value, gradient = value_and_gradient(push_away, hidden, mask, domains)
    expected, expected_gradient = value_and_gradient(push_away, hidden.double(), mask, domains)
    assert value.dtype == torch.float32 and gradient.dtype == dtype
    torch.testing.assert_close(value.double(), expected, rtol=0, atol=2e-6)
    rounding = 2 * torch.finfo(dtype).eps if dtype != torch.float32 else 1e-4
    torch.testing.assert_close(
        gradient.double(), expected_gradient, rtol=rounding, atol=rounding * float(expected_gradient.abs().max())
    )


def test_it_is_minus_dispersion() -> None:
    hidden, mask = torch.randn(3, 40, 16), torch.rand(3, 40) < 0.7
    assert push_away(hidden, mask).item() == pytest.approx(-dispersion(hidden.flatten(0, 1), mask.flatten()).item())


def test_two_domains_are_pushed_from_each_other_and_not_apart() -> None:
    a, b = torch.randn(1, 5, 8, dtype=torch.float64) + 2, torch.randn(1, 7, 8, dtype=torch.float64) + 2
    hidden = torch.nn.functional.pad(a, (0, 0, 0, 2)), b
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 5:] = False
    u, v = (x[0] / x[0].norm(dim=-1, keepdim=True) for x in (a, b))
    value = push_away(torch.cat(hidden), mask, torch.tensor([0, 1]))
    assert value.item() == pytest.approx((u @ v.T).mean().item() - 1)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.__name__)
@pytest.mark.parametrize("domains", [None, torch.zeros(2, dtype=torch.long)], ids=["one vector", "one domain"])
def test_without_a_pair_it_is_zero_and_pushes_nothing(objective: Objective, domains: Tensor | None) -> None:
    mask = torch.zeros(2, 4, dtype=torch.bool)
    for counting in [0, 1] if domains is None else [0, 1, 8]:
        mask.view(-1)[:counting] = True
        value, gradient = value_and_gradient(objective, torch.randn(2, 4, 8), mask, domains)
        assert value == 0 and not gradient.any()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.__name__)
def test_vectors_that_are_zero_or_not_finite_are_left_out(objective: Objective) -> None:
    hidden = torch.randn(2, 6, 8)
    good = torch.ones(2, 6, dtype=torch.bool)
    for at, bad in {(0, 1): torch.nan, (0, 3): torch.inf, (1, 2): 0.0}.items():
        hidden[at], good[at] = bad, False
    value, gradient = value_and_gradient(objective, hidden)
    expected, expected_gradient = value_and_gradient(objective, hidden, good)
    assert value == expected and gradient.isfinite().all() and not gradient[~good].any()
    torch.testing.assert_close(gradient, expected_gradient)


def test_a_masked_nan_is_not_seen() -> None:
    hidden, mask = torch.randn(1, 5, 8), torch.tensor([[True, True, True, False, True]])
    hidden[0, 3] = torch.nan
    value, gradient = value_and_gradient(push_away, hidden, mask)
    assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.__name__)
def test_autocast_leaves_it_in_float32(objective: Objective) -> None:
    hidden = torch.randn(2, 64, 16) + 1
    value, gradient = value_and_gradient(objective, hidden)
    hidden.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        inside = objective(hidden)
    inside.backward()
    assert inside == value and hidden.grad is not None and torch.equal(hidden.grad, gradient)


def test_no_n_by_n_matrix_is_made() -> None:
    hidden = torch.randn(1, 200_000, 4, requires_grad=True)
    push_away(hidden, None).backward()  # 160 GB, were it made
    assert hidden.grad is not None and hidden.grad.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((torch.ones(2, 3, 4, dtype=torch.int64),), "hidden must be floating point of shape"),
        ((torch.ones(4),), "hidden must be floating point of shape"),
        ((torch.ones(2, 3, 4), torch.ones(2, 3)), "mask must be bool of shape [2, 3]"),
        ((torch.ones(2, 3, 4), torch.ones(2, 4, dtype=torch.bool)), "mask must be bool of shape [2, 3]"),
        ((torch.ones(2, 3, 4), None, torch.ones(3, dtype=torch.long)), "domains must be integers of shape [2, 3]"),
        ((torch.ones(2, 3, 4), None, torch.ones(2)), "domains must be integers"),
    ],
)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.__name__)
def test_what_does_not_fit_is_said(objective: Objective, arguments: tuple[Tensor, ...], said: str) -> None:
    with pytest.raises(ValueError) as error:
        objective(*arguments)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_room_needs_neither_lm_eval_nor_transformers_nor_the_capture() -> None:
    script = """
import sys, lm_eval_dispersion.training
assert not {"lm_eval", "transformers", "lm_eval_dispersion.capture", "lm_eval_dispersion.harness"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
