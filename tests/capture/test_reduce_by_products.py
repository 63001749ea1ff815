"""Hidden states reduced by matrix products, as on a GPU, whose arithmetic the CPU can do as well, if slowly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_architectures import SPANS, WIDTH, assert_reduces_transformers_own_states, batch, tiny
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lm_eval_dispersion.capture import Owner, Sums, _reduce, _states, _sums
from lm_eval_dispersion.capture._layers import LayerTap
from lm_eval_dispersion.capture._reduce import Reductions
from lm_eval_dispersion.capture._spans import Progress, Span


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
    reductions, plain = Reductions(totals=False), Reductions(totals=False)
    x = torch.randn(4, 3, WIDTH, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    with reductions.see(SPANS, 3, WIDTH) as show:
        for layer, dtype in enumerate((torch.float64, torch.bfloat16, torch.bfloat16, torch.float32)):
            show(layer, x[layer].to(dtype))
    with plain.see(SPANS, 3, WIDTH) as show:
        for layer in range(4):
            show(layer, x[layer].double())
    for (_, mine), (_, reduced) in zip(reductions.results(), plain.results(), strict=True):
        assert mine.dispersion == pytest.approx(reduced.dispersion, abs=1e-6)
    assert products == [torch.float64, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("unread", [0, 2**22], ids=["read-at-once", "read-at-the-end"])
@pytest.mark.parametrize("held", [0, 2**28], ids=["nothing-held", "held"])
def test_passes_of_one_call_are_read_and_settled_sooner_or_later(
    held: int, unread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sums, "_HELD_BYTES", held)
    monkeypatch.setattr(_reduce, "_UNREAD", unread)
    model, sums = tiny("llama").to(torch.bfloat16), Sums()
    tap, reductions = LayerTap(model), Reductions(totals=True)
    with torch.no_grad(), tap.attached():
        for number in range(3):
            spans = [Span(0, 1, WIDTH, owners=(Owner(sums, number), Owner(sums, 7)), requests=(number,))]
            with reductions.see(spans, 3, WIDTH) as show, tap.listening(show):
                model(**batch())
    results = reductions.results()
    reductions.settle()
    assert [span.requests for span, _ in results] == [(0,), (1,), (2,)] and not reductions.results()
    read = [reduced.dispersion.tolist() for _, reduced in results]
    assert read[0] == read[1] == read[2]
    for pairs, each in ((sums.across, 1), (sums.all_pairs, WIDTH - 1)):
        groups = {group: (total, count) for group, total, count in pairs.groups()}
        assert {group: count.tolist() for group, (_, count) in groups.items()} == {
            **{number: [each] * 4 for number in range(3)},
            7: [3 * each] * 4,
        }
        assert groups[7][0] == pytest.approx(3 * groups[1][0], abs=1e-4)


class Watch(TorchFunctionMode):
    """What brings a tensor's numbers to the host, and so waits for its device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.cpu, Tensor.item, Tensor.tolist, Tensor.numpy):
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_no_pass_waits_for_the_device() -> None:
    sums, reductions = Sums(), Reductions(totals=True)
    x = torch.randn(4, 1, 300, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    long = Progress(Span(-1, 0, 250, owners=(Owner(sums, 1),)), 0)
    with Watch() as watch:
        for low, high in ((0, 100), (100, 300)):
            parts = [Span(0, 0, 60, owners=(Owner(sums, 0),)), long.part(min(high, 250), -low)]
            with reductions.see(parts, 1, high - low) as show:
                for layer, state in enumerate(x[:, :, low:high]):
                    show(layer, state)
        assert not watch.seen
        assert len(reductions.results()) == 3 and watch.seen
    reductions.settle()
    assert sums.across.count.tolist() == [3] * 4
