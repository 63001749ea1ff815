"""Hidden states reduced by matrix products, as on a GPU, whose arithmetic the CPU can do as well, if slowly."""

from __future__ import annotations

import pytest
import torch
from test_architectures import SPANS, WIDTH, assert_reduces_transformers_own_states, batch, tiny
from torch import Tensor

from lm_eval_dispersion.capture import Owner, Sums, _states, _sums
from lm_eval_dispersion.capture._layers import LayerTap
from lm_eval_dispersion.capture._reduce import Reduction, Reductions, Results, Span


@pytest.fixture(autouse=True)
def products(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The dtypes of runs of states that were offered."""
    seen: list[torch.dtype] = []

    def multiplies(x: Tensor) -> bool:
        seen.append(x.dtype)
        return x.dtype == torch.bfloat16

    monkeypatch.setattr(_states, "multiplies", multiplies)
    return seen


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "opt-post-norm"])
def test_every_layer_is_the_one_transformers_gives(name: str, products: list[torch.dtype]) -> None:
    assert_reduces_transformers_own_states(tiny(name).to(torch.bfloat16))
    assert products == [torch.bfloat16]  # one run of all layers


def test_spans_may_be_any_rows_in_any_order() -> None:
    spans = [Span(2, 9, WIDTH), Span(0, 1, 9), Span(0, 5, WIDTH)]
    assert_reduces_transformers_own_states(tiny("llama").to(torch.bfloat16), spans)


def test_states_of_other_dtypes_among_them_are_summed_vector_by_vector(products: list[torch.dtype]) -> None:
    reduction = Reduction(SPANS, 3, WIDTH, totals=False)
    x = torch.randn(4, 3, WIDTH, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    for layer, dtype in enumerate((torch.float64, torch.bfloat16, torch.bfloat16, torch.float32)):
        reduction.add(layer, x[layer].to(dtype))
    found = [reduced.dispersion for _, reduced in reduction.finish()]
    plain = Reduction(SPANS, 3, WIDTH, totals=False)
    for layer in range(4):
        plain.add(layer, x[layer].double())
    for mine, (_, reduced) in zip(found, plain.finish(), strict=True):
        assert mine == pytest.approx(reduced.dispersion, abs=1e-6)
    assert products == [torch.float64, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("held", [0, 2**28], ids=["nothing-held", "held"])
def test_passes_of_one_call_are_each_read_at_the_next_one(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sums, "_HELD_BYTES", held)
    model, sums = tiny("llama").to(torch.bfloat16), Sums()
    tap = LayerTap(model)
    reductions, read = Reductions(tap), []

    def then(results: Results) -> None:
        read.append([reduced.dispersion.tolist() for _, reduced in results])

    with torch.no_grad(), tap.attached():
        for number in range(3):
            spans = [Span(0, 1, WIDTH, owners=(Owner(sums, number), Owner(sums, 7)))]
            reductions.run(lambda: model(**batch()), spans, (3, WIDTH), True, then)
            assert len(read) == number
    reductions.settle()
    assert len(read) == 3 and read[0] == read[1] == read[2]
    for pairs, each in ((sums.across, 1), (sums.all_pairs, WIDTH - 1)):
        groups = {group: (total, count) for group, total, count in pairs.groups()}
        assert {group: count.tolist() for group, (_, count) in groups.items()} == {
            **{number: [each] * 4 for number in range(3)},
            7: [3 * each] * 4,
        }
        assert groups[7][0] == pytest.approx(3 * groups[1][0], abs=1e-4)
