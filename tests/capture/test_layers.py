"""Hidden states are those that arrive, whatever hooks others have put on the blocks; no pass is ever broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from lm_eval.api.instance import Instance
from reference import profile
from test_architectures import batch, tiny
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_utils import OutputRecorder
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel

from lm_eval_dispersion import Definition
from lm_eval_dispersion.capture import AttributionError, Owner, Sums, Unsupported, Window, capture_for
from lm_eval_dispersion.capture._layers import LayerTap

STEER = torch.linspace(-3, 3, 32)


def shown(model: nn.Module, call: Callable[[], Any] | None = None) -> list[Tensor]:
    """What the tap shows of one pass, by layer."""
    found: list[Tensor] = []

    def show(layer: int, state: Tensor) -> None:
        assert layer == len(found)
        found.append(state.clone())

    tap = LayerTap(model)
    with torch.no_grad(), tap.attached(), tap.listening(show):
        (call or (lambda: model(**batch())))()
    return found


@contextmanager
def received(model: Any) -> Iterator[list[Tensor]]:
    """What the blocks' own code receives, and what the head does: put into the classes, below every hook."""
    found: list[Tensor] = []
    block, head = LlamaDecoderLayer.forward, model.lm_head.forward

    def arrives(self: nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        found.append(hidden_states.clone())
        return block(self, hidden_states, *args, **kwargs)

    def ends(hidden_states: Tensor) -> Tensor:
        found.append(hidden_states.clone())
        return head(hidden_states)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LlamaDecoderLayer, "forward", arrives)
        patch.setattr(model.lm_head, "forward", ends)
        yield found


def steers(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output + STEER


def steers_before(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Any:
    return (args[0] + STEER, *args[1:]), kwargs


def steers_the_end(module: nn.Module, args: Any, output: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state + STEER
    return output


def put_hooks(model: Any) -> list[Any]:
    """On each place where a state passes, in the way of others."""
    handles = [block.register_forward_hook(steers) for block in model.model.layers[:2]]
    handles.append(model.model.layers[2].register_forward_pre_hook(steers_before, with_kwargs=True))
    handles.append(model.model.register_forward_hook(steers_the_end))
    return handles


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs) == 4
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("when", ["before", "during"])
def test_what_is_steered_is_shown_as_the_next_block_receives_it(when: str) -> None:
    model = tiny("llama")
    plain = shown(model)
    if when == "before":
        put_hooks(model)

    def call() -> None:
        handles = put_hooks(model) if when == "during" else []
        model(**batch())
        for handle in handles:
            handle.remove()

    with received(model) as theirs:
        ours = shown(model, call)
    assert_same(ours, theirs)
    assert torch.equal(ours[0], plain[0])
    assert all((a - b).norm() > 1 for a, b in zip(ours[1:], plain[1:], strict=True))


def test_lm_evals_steered_model_is_measured_as_it_runs(tiny_llama: Path, tmp_path: Path) -> None:
    """Against all pairs in float64, of a model that is steered by its own code."""
    from lm_eval.models.hf_steered import SteeredModel

    how = {"steering_vector": STEER, "steering_coefficient": 2.0, "action": "add"}
    torch.save({"layers.0": how, "layers.1": how}, tmp_path / "steer.pt")
    lm = SteeredModel(str(tiny_llama), str(tmp_path / "steer.pt"), device="cpu", dtype="float32")
    text = "The committee will meet again on Thursday to vote on the proposal. " * 12
    found: list[Window] = []
    made = [Instance("loglikelihood_rolling", {}, (text,), 0, ("a task", 0, 1))]
    capture = capture_for(lm)
    answers = capture.loglikelihood_rolling(
        made, {0: Owner(Sums(), 0)}, lambda _, window: found.append(window), Definition()
    )
    assert answers == lm.loglikelihood_rolling(made)
    tokens = torch.tensor([[lm.prefix_token_id, *lm.tok_encode(text)]])
    assert len(found) == 1 and found[0].reduced is not None

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float64)
    states, forward = [], LlamaDecoderLayer.forward

    def steered(self: nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        states.append(hidden_states)
        return forward(self, hidden_states, *args, **kwargs) + 2 * STEER.double()

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(LlamaDecoderLayer, "forward", steered)
        states.append(model.model(tokens[:, :-1]).last_hidden_state)
    expected = profile(torch.cat(states)[:, 1:])
    np.testing.assert_allclose(found[0].reduced.dispersion, expected, atol=1e-5)


def test_blocks_that_get_their_state_by_keyword(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    positional = shown(model)
    call = LlamaDecoderLayer.__call__
    monkeypatch.setattr(LlamaDecoderLayer, "__call__", lambda self, x, **kwargs: call(self, hidden_states=x, **kwargs))
    assert_same(shown(model), positional)


@pytest.mark.parametrize(
    "declaration",
    [
        OutputRecorder(LlamaDecoderLayer),
        OutputRecorder(nn.Module, class_name="nothing", layer_name="layers.1"),
        OutputRecorder(None, class_name=".2"),
        "layers.0",
        [OutputRecorder(LlamaDecoderLayer, layer_name="layers.0"), "layers.2"],
    ],
    ids=["class", "everything-below", "end-of-name", "name", "list"],
)
def test_a_declaration_means_what_it_means_to_transformers(declaration: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same modules as transformers' own rules put their hooks on."""
    from transformers.utils.output_capturing import _CAN_RECORD_REGISTRY, install_all_output_capturing_hooks

    from lm_eval_dispersion.capture._blocks import declared

    # Each new model sets it anew for its class; models of other tests keep theirs.
    monkeypatch.setitem(_CAN_RECORD_REGISTRY, str(LlamaModel), _CAN_RECORD_REGISTRY.get(str(LlamaModel)))
    monkeypatch.setattr(LlamaModel, "_can_record_outputs", {"hidden_states": declaration})
    model: Any = tiny("llama")
    ours = declared(model).blocks
    install_all_output_capturing_hooks(model.model)
    assert ours == [module for module in model.model.modules() if module._forward_hooks]
    assert ours


# --- other people's code stays as it is


def test_a_forward_that_accelerate_has_replaced_is_listened_to_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = tiny("llama")
    plain = shown(model)
    for block in model.model.layers:
        add_hook_to_module(block, AlignDevicesHook(execution_device="cpu", io_same_device=True))
    before = [vars(block)["forward"] for block in model.model.layers]
    assert_same(shown(model), plain)
    assert [vars(block)["forward"] for block in model.model.layers] == before
    for block in model.model.layers:
        remove_hook_from_module(block)


@pytest.mark.parametrize("name", ["llama", "falcon"])
@pytest.mark.parametrize("broken", [False, True])
def test_no_method_of_a_model_stays_replaced(name: str, broken: bool) -> None:
    model = tiny(name)
    before = [dict(vars(module)) for module in model.modules()]
    try:
        shown(model, (lambda: model(torch.tensor([[10**6]]))) if broken else None)
    except IndexError:
        assert broken
    assert [vars(module).keys() for module in model.modules()] == [one.keys() for one in before]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# --- a pass is never broken off


@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_what_goes_wrong_with_a_state_is_said_after_the_models_answer(name: str) -> None:
    model = tiny(name)
    with torch.no_grad():
        stock = model(**batch()).logits
    tap, layers = LayerTap(model), []

    def show(layer: int, state: Tensor) -> None:
        layers.append(layer)
        if layer == 1:
            raise AttributionError("not ours")

    answer = None
    with torch.no_grad(), tap.attached():
        with pytest.raises(AttributionError, match="not ours"), tap.listening(show):
            answer = model(**batch()).logits
        assert answer is not None and torch.equal(answer, stock)
        assert layers == [0, 1]
        with tap.listening(lambda layer, state: layers.append(layer)):  # the next pass is as good as any
            model(**batch())
    assert layers == [0, 1, 0, 1, 2, 3]


# --- what is known before a pass


def whole(model: Any) -> nn.Module:
    return torch.compile(model)


def in_place(model: Any) -> nn.Module:
    model.compile()
    return model


def its_forward(model: Any) -> nn.Module:
    model.forward = torch.compile(model.forward)
    return model


def a_block(model: Any) -> nn.Module:
    next(m for m in model.modules() if isinstance(m, nn.ModuleList))[0].compile()
    return model


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, how) for name in ("llama", "falcon") for how in (whole, in_place, its_forward)] + [("llama", a_block)],
)
def test_a_compiled_model_is_refused(name: str, how: Callable[[PreTrainedModel], nn.Module]) -> None:
    with pytest.raises(Unsupported, match=r"\A\w+ForCausalLM is under torch\.compile.*\Z"):
        LayerTap(how(tiny(name)))


def test_what_is_compiled_inside_a_block_is_in_nobodys_way() -> None:
    model: Any = tiny("llama")
    model.model.layers[0].mlp.compile(backend="eager")
    LayerTap(model)
