"""Shows the hidden states h[0..L] of a transformers model while a forward pass computes them.

transformers' convention: h[0] is the first block's input, h[l] a block's output, and the last one is the decoder's,
after the final norm. h[l] is taken where it arrives, as the next block's ``forward`` receives it: whatever hooks other
people have put on either block (steering, ...) have changed it by then. Where a model's classes do not say which its
blocks are (``_blocks``), ``output_hidden_states`` is asked of the same forward pass instead; all states of a batch are
then held at once, which costs memory but no second pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from lm_eval_dispersion.capture._beforehand import depths, is_compiled, reads_both_ways, takes_output_hidden_states
from lm_eval_dispersion.capture._blocks import Undeclared, declared, text_decoder
from lm_eval_dispersion.capture._listen import logger
from lm_eval_dispersion.capture._protocol import AttributionError, Unsupported
from lm_eval_dispersion.seams import listening


class LayerTap:
    """Shows each hidden state of one forward pass to a callback; inert outside ``listening``.

    A forward pass is never broken off: what is wrong with its states is remembered, no more of them is shown, and
    ``listening`` raises it when the pass has given its answer.
    """

    def __init__(self, model: nn.Module) -> None:
        """Looks at the model, and runs nothing of it.

        Raises:
            Unsupported: where it is known beforehand that dispersion cannot be measured on it, in one line.
        """
        outer = next((m for m in model.modules() if isinstance(m, PreTrainedModel)), None)
        if outer is None:
            raise Unsupported(f"{type(model).__name__} is no transformers model: its hidden states cannot be found")
        self._outer, self._name = outer, type(outer).__name__
        if getattr(outer.config, "is_encoder_decoder", False):
            raise Unsupported(f"{self._name} is an encoder-decoder; dispersion is defined on decoder-only models")
        self._decoder: PreTrainedModel | None = None
        self._blocks: list[nn.Module] = []
        undeclared = ""
        try:
            self._decoder, self._blocks = declared(outer)
        except Undeclared as error:
            undeclared = f"{self._name} {error}"
        if why := reads_both_ways(outer, text_decoder(outer) if self._decoder is None else self._decoder):
            raise Unsupported(f"{self._name} is not causal ({why}); dispersion is defined on causal language models")
        if is_compiled(model, outer, self._blocks):
            raise Unsupported(
                f"{self._name} is under torch.compile, which keeps its hidden states to itself; evaluate it without"
            )
        if self._decoder is None:
            if not takes_output_hidden_states(outer):
                raise Unsupported(
                    f"{undeclared} and takes no output_hidden_states: dispersion cannot be measured on it"
                )
            logger.info(
                "%s: taking them from output_hidden_states, which keeps all layers of a batch in memory", undeclared
            )
        self._show: Callable[[int, Tensor], None] | None = None
        self._problem: Exception | None = None
        # Of the pass under way: its input's rows and tokens, the blocks that have run, what is to be undone.
        self._input: tuple[int, int] | None = None
        self._ran: set[nn.Module] = set()
        self._pass = ExitStack()

    @property
    def depth(self) -> int | None:
        """L, where the last hidden state is h[L]; None where only a forward pass will tell."""
        told = {len(self._blocks)} if self._decoder is not None else depths(self._outer)
        return told.pop() if len(told) == 1 else None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listens to the model for the length of a request call and leaves it as it was."""
        with ExitStack() as until_done:
            if self._decoder is None:
                until_done.enter_context(listening(self._outer, forward=self._ask))
            else:
                for block in self._blocks:
                    until_done.enter_context(listening(block, forward=partial(self._block, block)))
                handle = self._decoder.register_forward_pre_hook(self._before_decoder, with_kwargs=True)
                until_done.callback(handle.remove)
            yield

    @contextmanager
    def listening(self, show: Callable[[int, Tensor], None]) -> Iterator[None]:
        """Shows the states of the next forward pass (and of no later one) as ``show(l, h[l])``, in order.

        Raises:
            Unsupported: where the model's states are not what they must be.
            AttributionError: where no whole forward pass went by.
            Exception: what ``show`` has raised.
        """
        self._show, self._problem = show, None
        try:
            yield
            unseen = self._show is not None
        finally:
            self._end_pass()
            problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
        if unseen:
            raise AttributionError(f"{self._name}: no whole forward pass was seen")

    def _end_pass(self) -> None:
        self._show = None
        self._pass.close()

    def _remember(self, problem: Exception) -> None:
        self._problem = self._problem or problem

    def _see(self, layer: int, state: Any) -> None:
        """Shows a state, unless something has been wrong before."""
        if self._problem is not None or self._show is None:
            return
        try:
            self._check(layer, state)
            self._show(layer, state)
        except Exception as problem:
            self._remember(problem)

    def _check(self, layer: int, state: Any) -> None:
        found = f"has shape {list(state.shape)}" if isinstance(state, Tensor) else f"is a {type(state).__name__}"
        if not isinstance(state, Tensor) or state.ndim != 3:
            raise Unsupported(
                f"{self._name}: its hidden state {layer} {found}, not [batch, tokens, hidden size]; dispersion is not "
                "defined on it"
            )
        if self._input is not None and tuple(state.shape[:2]) != self._input:
            rows, tokens = self._input
            raise Unsupported(
                f"{self._name}: its hidden state {layer} {found} for an input of {rows} rows x {tokens} tokens; which "
                "vector is whose cannot be told"
            )

    # --- a model that declares its blocks

    def _before_decoder(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._show is None:
            return
        self._pass.close()  # of a pass that was broken off
        self._input, self._ran = _rows_and_tokens(args, kwargs), set()
        # Here, when the pass begins, so that it comes after all others.
        self._pass.callback(decoder.register_forward_hook(self._after_decoder).remove)

    def _block(self, block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._show is None:
            return forward(*args, **kwargs)
        if block in self._ran:
            self._remember(
                Unsupported(f"{self._name} runs a block more than once in a pass: layers cannot be told apart")
            )
        self._ran.add(block)
        self._see(len(self._ran) - 1, args[0] if args else _first_argument(forward, kwargs))
        return forward(*args, **kwargs)

    def _after_decoder(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        ran, depth = len(self._ran), len(self._blocks)
        if ran != depth:
            self._remember(AttributionError(f"{self._name}: {ran} of {depth} blocks ran in a forward pass"))
        last = output[0] if isinstance(output, tuple) and output else getattr(output, "last_hidden_state", output)
        self._see(depth, last)
        self._end_pass()

    # --- a model that is asked for them

    def _ask(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._show is None:
            return forward(*args, **kwargs)
        self._input = _rows_and_tokens(args, kwargs)
        try:
            output = forward(*args, **kwargs | {"output_hidden_states": True})
        except TypeError as error:
            # It takes any keyword, and has handed this one on to something that does not.
            if "output_hidden_states" not in str(error):
                raise
            self._remember(
                Unsupported(f"{self._name} takes no output_hidden_states: dispersion cannot be measured on it")
            )
            self._end_pass()
            return forward(*args, **kwargs)
        try:
            states = self._one_a_layer(getattr(output, "hidden_states", None))
        except Unsupported as problem:
            self._remember(problem)
        else:
            for layer, state in enumerate(states):
                self._see(layer, state)
        self._end_pass()
        return output

    def _one_a_layer(self, states: Any) -> Sequence[Any]:
        if isinstance(states, Tensor):
            raise Unsupported(
                f"{self._name} returns its hidden states as one tensor of shape {list(states.shape)}, not one a layer; "
                "dispersion cannot be measured on it"
            )
        if not isinstance(states, (list, tuple)) or not states:
            raise Unsupported(
                f"{self._name} neither declares its hidden states to transformers nor returns them for "
                "output_hidden_states=True; dispersion cannot be measured on it"
            )
        told = depths(self._outer)
        if len(states) < 2 or (told and len(states) - 1 not in told):
            where = f"where its configuration has {max(told)} layers" if told else "in all"
            raise Unsupported(
                f"{self._name} returns {len(states)} hidden states {where}; which layers they are of cannot be told"
            )
        return states


def _rows_and_tokens(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int] | None:
    """The shape of a model's input, token ids or their embeddings; None where it is in neither place."""
    given = (*args[:1], kwargs.get("input_ids"), kwargs.get("inputs_embeds"))
    found = next((x for x in given if isinstance(x, Tensor) and x.ndim >= 2), None)
    return None if found is None else (found.shape[0], found.shape[1])


def _first_argument(forward: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    """Of a block that is called with keywords alone."""
    first = next(iter(inspect.signature(forward).parameters), "hidden_states")
    return kwargs.get(first, kwargs.get("hidden_states"))
