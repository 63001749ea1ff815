"""Where the hidden states h[0..L] of a transformers model pass by.

transformers' own recording mechanism says it: a model class declares in ``_can_record_outputs`` which
modules give ``hidden_states`` (transformers/utils/output_capturing.py, whose convention this follows: h[0]
is the first block's input, h[l] a block's output, and the last one is ``last_hidden_state``). A model that
declares nothing is asked for ``output_hidden_states`` in the same forward pass instead; it then holds all
states at once, which costs memory but no second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from lm_eval_dispersion.capture._listen import logger
from lm_eval_dispersion.capture._protocol import AttributionError, Unsupported


def _declared(model: PreTrainedModel) -> tuple[PreTrainedModel, list[nn.Module]] | None:
    """The decoder and its blocks, where the model class declares them without ambiguity."""
    found: list[tuple[PreTrainedModel, list[nn.Module]]] = []
    for decoder in (m for m in model.modules() if isinstance(m, PreTrainedModel)):
        kind = (getattr(decoder, "_can_record_outputs", None) or {}).get("hidden_states")
        if isinstance(kind, type) and (blocks := [m for m in _own_modules(decoder) if isinstance(m, kind)]):
            found.append((decoder, blocks))
    if len(found) != 1 or getattr(found[0][0].config, "tie_last_hidden_states", None) is False:
        return None
    return found[0]


def _own_modules(decoder: nn.Module) -> Iterator[nn.Module]:
    """Modules below a decoder, without those of a model nested in it (which declares its own)."""
    for child in decoder.children():
        if not isinstance(child, PreTrainedModel):
            yield child
            yield from _own_modules(child)


class LayerTap:
    """Shows each hidden state of one forward pass to a callback; inert outside ``listening``."""

    def __init__(self, model: nn.Module) -> None:
        outer = next((m for m in model.modules() if isinstance(m, PreTrainedModel)), None)
        if outer is None:
            raise Unsupported(f"{type(model).__name__} is no transformers model: its hidden states cannot be found")
        if outer.config.is_encoder_decoder:
            raise Unsupported(
                f"{type(outer).__name__} is an encoder-decoder; dispersion is defined on decoder-only models"
            )
        self._outer = outer
        self._declared = _declared(outer)
        self._show: Callable[[int, Tensor], None] | None = None
        self._next = 0
        if self._declared is None:
            logger.info(
                "%s does not declare its hidden states to transformers: taking them from "
                "output_hidden_states, which keeps all layers of a batch in memory",
                type(outer).__name__,
            )

    @property
    def depth(self) -> int:
        """L: the last hidden state is h[L]."""
        return len(self._declared[1]) if self._declared else int(self._outer.config.num_hidden_layers)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hooks the model for the length of a request call and leaves it as it was."""
        handles: list[Any] = []
        try:
            if self._declared is not None:
                decoder, blocks = self._declared
                self._expected = len(blocks)
                for block in blocks:
                    handles.append(block.register_forward_hook(self._after_block, with_kwargs=True))
                handles.append(decoder.register_forward_hook(self._after_decoder))
            else:
                handles.append(self._outer.register_forward_pre_hook(self._ask, with_kwargs=True))
                handles.append(self._outer.register_forward_hook(self._after_model))
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def listening(self, show: Callable[[int, Tensor], None]) -> Iterator[None]:
        """Shows the states of the next forward pass (and of no later one) as ``show(l, h[l])``.

        Raises:
            AttributionError: where no whole forward pass went by.
        """
        self._show, self._next = show, 0
        try:
            yield
            if self._show is not None:
                raise AttributionError(f"{type(self._outer).__name__}: no whole forward pass was seen")
        finally:
            self._show = None

    def _pass_on(self, state: Tensor) -> None:
        assert self._show is not None
        if state.ndim != 3:
            raise Unsupported(
                f"{type(self._outer).__name__}: its hidden state {self._next} has shape {list(state.shape)}, "
                "not [batch, tokens, hidden size]; dispersion is not defined on it"
            )
        self._show(self._next, state)
        self._next += 1

    def _after_block(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self._show is None:
            return
        if self._next == 0:
            self._pass_on(args[0] if args else kwargs["hidden_states"])
        if self._next > self._expected:
            raise Unsupported(
                f"{type(self._outer).__name__} runs a block more than once in a pass: layers cannot be told apart"
            )
        if self._next < self._expected:
            self._pass_on(output[0] if isinstance(output, tuple) else output)
        else:
            self._next += 1  # the last block's own output is not h[L]: the final norm comes first

    def _after_decoder(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._show is None:
            return
        ran = max(0, self._next - 1)
        if ran != self._expected:
            raise AttributionError(
                f"{type(self._outer).__name__}: {ran} of {self._expected} blocks ran in a forward pass"
            )
        self._next = self._expected
        self._pass_on(output[0] if isinstance(output, tuple) else output.last_hidden_state)
        self._show = None

    def _ask(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        return None if self._show is None else (args, kwargs | {"output_hidden_states": True})

    def _after_model(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._show is None:
            return
        states = getattr(output, "hidden_states", None)
        if not states:
            raise Unsupported(
                f"{type(self._outer).__name__} neither declares its hidden states to transformers nor returns "
                "them for output_hidden_states=True; dispersion cannot be measured on it"
            )
        for state in states:
            self._pass_on(state)
        self._show = None
