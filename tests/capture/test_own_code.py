"""Models with code of their own: what cannot be labelled is refused in one line, and the model's answer stands."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from vllm_engine import heard

from lm_eval_dispersion.capture import Unsupported
from lm_eval_dispersion.capture._layers import LayerTap

ROWS, TOKENS, WIDTH, LAYERS = 2, 7, 8, 3
IDS = torch.arange(ROWS * TOKENS).reshape(ROWS, TOKENS)


class TinyConfig(PreTrainedConfig):
    model_type = "tiny_own"

    def __init__(self, depth: dict[str, int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (depth or {}).items():
            setattr(self, name, value)


class Tiny(PreTrainedModel):
    """Adds a bent copy of each token's state to it, three times; a subclass says how it gives the states away."""

    config_class = TinyConfig

    def __init__(self, config: Any = None) -> None:
        super().__init__(config or TinyConfig({"num_hidden_layers": LAYERS}))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed, self.head = nn.Embedding(ROWS * TOKENS, WIDTH), nn.Linear(WIDTH, 20)
            self.bends = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))

    def states(self, input_ids: Tensor) -> tuple[Tensor, ...]:
        found = [self.embed(input_ids)]
        for bend in self.bends:
            found.append(found[-1] + torch.tanh(bend(found[-1])))
        return tuple(found)

    def given(self, states: tuple[Tensor, ...]) -> Any:
        return states

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False) -> CausalLMOutput:
        states = self.states(input_ids)
        return CausalLMOutput(
            logits=self.head(states[-1]), hidden_states=self.given(states) if output_hidden_states else None
        )


class Deaf(Tiny):
    def forward(self, input_ids: Tensor) -> CausalLMOutput:  # type: ignore[override]
        return super().forward(input_ids)


class Passing(Tiny):
    """Takes any keyword and hands it on to what does not take it."""

    def forward(self, input_ids: Tensor, **kwargs: Any) -> CausalLMOutput:  # type: ignore[override]
        return self.inner(input_ids, **kwargs)

    def inner(self, input_ids: Tensor) -> CausalLMOutput:
        return super().forward(input_ids)


class Silent(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return None


class OneTensor(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return torch.stack(states)


class LastAlone(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return states[-1:]


class OneMore(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return (*states, torch.tanh(states[-1]))


class Turned(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return tuple(state.transpose(0, 1) for state in states)


class Flat(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return tuple(state.flatten(0, 1) for state in states)


class Nested(Tiny):
    def given(self, states: tuple[Tensor, ...]) -> Any:
        return tuple((state,) for state in states)


def shown(model: nn.Module) -> list[tuple[int, Tensor]]:
    found: list[tuple[int, Tensor]] = []
    tap = LayerTap(model)
    with torch.no_grad(), tap.attached(), tap.listening(lambda layer, state: found.append((layer, state))):
        model(IDS)
    return found


@pytest.mark.parametrize(
    "depth",
    [{"num_hidden_layers": LAYERS}, {"n_layers": LAYERS}, {"num_layers": LAYERS}, {}],
    ids=["num_hidden_layers", "n_layers", "num_layers", "unsaid"],
)
def test_states_of_every_layer_are_taken_as_they_are_given(depth: dict[str, int]) -> None:
    model = Tiny(TinyConfig(depth)).eval()
    with heard() as lines:
        found = shown(model)
    assert [layer for layer, _ in found] == list(range(LAYERS + 1))
    assert all(map(torch.equal, (state for _, state in found), model.states(IDS)))
    (said,) = lines
    assert said.levelno == logging.INFO
    assert said.getMessage().startswith("Tiny does not declare its hidden states to transformers: ")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Silent, r"neither declares its hidden states to transformers nor returns them for output_hidden_states=True"),
        (Passing, r"takes no output_hidden_states"),
        (OneTensor, r"returns its hidden states as one tensor of shape \[4, 2, 7, 8\]"),
        (LastAlone, r"returns 1 hidden states where its configuration has 3 layers"),
        (OneMore, r"returns 5 hidden states where its configuration has 3 layers"),
        (Turned, r"hidden state 0 has shape \[7, 2, 8\] for an input of 2 rows x 7 tokens"),
        (Flat, r"hidden state 0 has shape \[14, 8\], not \[batch, tokens, hidden size\]"),
        (Nested, r"hidden state 0 is a tuple, not \[batch, tokens, hidden size\]"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_cannot_be_told_apart_is_refused_and_the_answer_stands(kind: type[Tiny], says: str) -> None:
    model = kind().eval()
    tap, found, answer = LayerTap(model), [], None
    with torch.no_grad(), tap.attached():
        with (
            pytest.raises(Unsupported, match=rf"\A{kind.__name__}\b.*{says}.*\Z"),
            tap.listening(lambda layer, state: found.append(layer)),
        ):
            answer = model(IDS).logits
        assert answer is not None and torch.equal(answer, model(IDS).logits)
    assert not found


def test_the_last_state_alone_has_no_label_where_the_configuration_says_nothing() -> None:
    with pytest.raises(Unsupported, match=r"\ALastAlone returns 1 hidden states in all.*\Z"):
        shown(LastAlone(TinyConfig()).eval())


def test_a_forward_that_cannot_be_asked_is_refused_before_it_is_called() -> None:
    with pytest.raises(Unsupported, match=r"\ADeaf does not declare .* and takes no output_hidden_states: .*\Z"):
        LayerTap(Deaf())


def test_an_error_of_the_models_own_is_its_own() -> None:
    class Failing(Tiny):
        def given(self, states: tuple[Tensor, ...]) -> Any:
            raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        shown(Failing().eval())
