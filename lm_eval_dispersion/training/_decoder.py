"""The decoder's output as it passes by in a trainer's own forward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lm_eval_dispersion._errors import TaskError


def decoder_of(model: Any) -> nn.Module:
    """What gives a causal model its last hidden states: neither logits nor ``lm_head``, which fused losses do without.

    Raises:
        TaskError: for a model that has none, or is no decoder alone.
    """
    name = type(model).__name__
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT's wrapper
    if getattr(getattr(inner, "config", None), "is_encoder_decoder", False):
        raise TaskError(f"{name} has an encoder and a decoder; PushAway takes decoder-only models")
    decoder = inner.get_decoder() if hasattr(inner, "get_decoder") else None
    if not isinstance(decoder, nn.Module):
        raise TaskError(
            f"{name} has no get_decoder(), so PushAway finds no hidden states; it takes transformers' models"
        )
    return decoder


class Listener:
    """Keeps the hidden states of one forward pass.

    Gradient checkpointing runs a decoder again in the backward pass, and a trainer may run it twice for its own
    metrics, without gradients: of the outputs seen while it listens it keeps the first that has a gradient.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self._name = type(decoder).__name__
        self._listening = False
        self._output: Any = None
        self._handle = decoder.register_forward_hook(self._hear)

    def __enter__(self) -> None:
        self._listening, self._output = True, None

    def __exit__(self, *_: object) -> None:
        self._listening = False

    def _hear(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._listening and (self._output is None or not getattr(_states(self._output), "requires_grad", True)):
            self._output = output

    def take(self) -> Tensor:
        """[batch, n, d]: what was heard, which is then forgotten.

        Raises:
            TaskError: where no hidden states passed by.
        """
        output, self._output = self._output, None
        if output is None:
            raise TaskError(f"PushAway saw no forward pass of {self._name} in compute_loss, so it has no hidden states")
        states = _states(output)
        if not isinstance(states, Tensor) or states.ndim != 3:
            raise TaskError(f"the output of {self._name} has no last_hidden_state of shape [batch, n, d]")
        return states

    def remove(self) -> None:
        """Ends it."""
        self._handle.remove()


def _states(output: Any) -> Any:
    if isinstance(output, tuple):
        return output[0]
    return getattr(output, "last_hidden_state", None)
