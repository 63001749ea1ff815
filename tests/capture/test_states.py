"""Sums over spans wherever they lie in a batch, by either arithmetic, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lm_eval_dispersion.capture import AttributionError, _states
from lm_eval_dispersion.capture._reduce import Reductions
from lm_eval_dispersion.capture._spans import Progress, Span
from lm_eval_dispersion.capture._states import States
from lm_eval_dispersion.geometry import closed_form, spectrum

D = 24


@pytest.fixture(params=["by-products", "vector-by-vector"])
def multiplied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether states are summed as a GPU sums bfloat16."""
    by_products = bool(request.param == "by-products")
    monkeypatch.setattr(_states, "multiplies", lambda x: by_products)
    return by_products


def vectors(*shape: int) -> Tensor:
    """Of norms far apart; some zero, some not finite."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(*shape, D, generator=generator) + 0.5
    x *= 10 ** (4 * torch.rand(*shape, 1, generator=generator) - 2)
    flat = x.view(-1, D)
    flat[3::31], flat[5::47, 0], flat[7::53, 1] = 0.0, torch.nan, torch.inf
    return x.bfloat16()


def summed(x: Tensor, spans: list[Span]) -> States:
    states = States(spans, x[0])
    for state in x:
        states.add(state)
    return states


# Rows: each one span; some of them, out of order, one with three spans; one row of many prompts, as vLLM's.
FLAT = [(0, 1), (1, 64), (70, 134), (134, 135), (140, 900), (0, 900), (899, 900)]
BATCHES = {
    "every-row": (4, 90, [(0, 1, 90), (1, 30, 31), (2, 0, 70), (3, 89, 90)]),
    "some-rows": (5, 200, [(4, 9, 200), (1, 0, 64), (1, 3, 190), (1, 150, 151)]),
    "one-row-of-many": (1, 900, [(0, *span) for span in FLAT]),
    "wide-rows": (2, 600, [(0, 0, 600), (1, 17, 599)]),
}


@pytest.mark.parametrize("at_once", [0, 2**30], ids=["one-at-a-time", "all-at-once"])
@pytest.mark.parametrize("name", BATCHES)
def test_sums_are_over_each_spans_own_positions(
    name: str, at_once: int, multiplied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_states, "_HELD", at_once)
    rows, width, places = BATCHES[name]
    x = vectors(3, rows, width)
    every, last = summed(x, [Span(*place) for place in places]).sums()
    for i, (row, start, stop) in enumerate(places):
        for sums, own in ((every, x[:, row, start:stop]), (last, x[:, row, stop - 1 : stop])):
            norm = own.double().norm(dim=-1)
            counts = norm.isfinite() & (norm > 0)
            unit = torch.where(counts.unsqueeze(-1), own.double() / norm.unsqueeze(-1), 0.0)
            torch.testing.assert_close(sums.total[:, i].double(), unit.sum(1), atol=1e-5, rtol=1e-6)
            assert torch.equal(sums.counted[:, i], counts.sum(-1))
            assert torch.equal(sums.zero[:, i], (norm == 0).sum(-1))


@pytest.mark.parametrize("size", [(2048, 16), (8192, 1024)])
def test_thousands_of_vectors_alike_lose_no_digits(size: tuple[int, int], multiplied: bool) -> None:
    n, d = size
    generator = torch.Generator().manual_seed(n)
    lengths = 10 ** (4 * torch.rand(1, 1, n, 1, generator=generator) - 2)
    x = (torch.randn(1, 1, 1, d, generator=generator) * lengths).bfloat16()
    every, _ = summed(x, [Span(0, 0, n)]).sums()
    expected = torch.nn.functional.normalize(x[0, 0].double(), dim=-1).sum(0).square().sum()
    found, right = (closed_form(s, every.counted.flatten()).item() for s in (every.total.square().sum(), expected))
    assert found == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("length", [5, 32, 100, 8192])
def test_what_is_read_of_a_batch_grows_with_its_spans_and_not_with_their_square(length: int, multiplied: bool) -> None:
    """As many prompts as are in a step of vLLM's."""
    x = torch.ones(1, 8192, D, dtype=torch.bfloat16)
    states = States([Span(0, first, first + length) for first in range(0, 8192 - length + 1, length)], x)
    assert states._pieces.of(x).numel() <= 1.6 * x.numel()


def test_a_span_that_comes_in_parts_is_reduced_as_it_is_in_one(multiplied: bool) -> None:
    x = vectors(3, 1, 300)
    whole, parts = Reductions(totals=False, signal_layers=[0, 2]), Reductions(totals=False, signal_layers=[0, 2])
    span, short = Span(0, 10, 290, requests=(0,)), Span(0, 0, 40, requests=(1,))
    with whole.see([span, short], 1, 300) as show:
        for layer, state in enumerate(x):
            show(layer, state)
    progress, at_once = Progress(span, span.start), Progress(short, short.start)
    for low, high in ((0, 100), (100, 101), (101, 300)):
        some = [progress.part(min(high, span.stop), -low)]
        some += [at_once.part(40, 0)] if not low else []
        with parts.see(some, 1, high - low) as show:
            for layer, state in enumerate(x[:, :, low:high]):
                show(layer, state)
    expected, found = (dict(sorted((s.requests, (s, r)) for s, r in some.results())) for some in (whole, parts))
    for requests, (mine, reduced) in found.items():
        right, other = expected[requests]
        assert mine == right and mine.of is None and reduced.vectors == other.vectors
        assert reduced.signals is not None and other.signals is not None and reduced.signals.shape == (7, 2)
        assert reduced.signals == pytest.approx(other.signals, rel=1e-6)
        own = x[[0, 2], 0, mine.start : mine.stop]
        expected_signals = torch.stack([spectrum(v) for v in own], 1)
        assert reduced.signals == pytest.approx(expected_signals.numpy(), rel=1e-6)
        assert reduced.dispersion == pytest.approx(other.dispersion, abs=1e-6)
        assert reduced.zero.tolist() == other.zero.tolist() and reduced.nonfinite.tolist() == other.nonfinite.tolist()
    assert found.keys() == expected.keys() and reduced.zero.any() and reduced.nonfinite.any()


@pytest.mark.parametrize("place", [(-1, 0, 5), (2, 0, 5), (0, 5, 5), (0, -1, 5), (0, 0, 11)])
def test_a_span_outside_of_the_input_is_an_error(place: tuple[int, int, int]) -> None:
    with (
        pytest.raises(AttributionError, match="does not lie in an input of 2 rows x 10 tokens"),
        Reductions(totals=False).see([Span(*place)], 2, 10),
    ):
        pass
