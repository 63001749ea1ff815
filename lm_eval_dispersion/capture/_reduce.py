"""Reduces the hidden states of one forward pass, row by row, to what ``Reduced`` holds and to its owners' sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lm_eval_dispersion.capture._layers import LayerTap
from lm_eval_dispersion.capture._protocol import AttributionError, Reduced
from lm_eval_dispersion.capture._states import Span, States, states_like
from lm_eval_dispersion.capture._sums import HeldSums
from lm_eval_dispersion.geometry import closed_form

__all__ = ["Reduction", "Reductions", "Span"]

Results = list[tuple[Span, Reduced]]


class Reduction:
    """Takes h[0], h[1], ... of one forward pass; of a state no more is kept than sums over positions."""

    def __init__(self, spans: list[Span], batch: int, width: int, totals: bool, held: HeldSums | None = None) -> None:
        """Args are: what to reduce, the input's shape [batch, width], whether all vectors are summed, and where.

        Where nothing is ``held`` for later, ``finish`` hands the sums to their owners.

        Raises:
            AttributionError: where a span has positions that the input has not.
        """
        for span in spans:
            if not (0 <= span.row < batch and 0 <= span.start < span.stop <= width):
                raise AttributionError(f"{span} does not lie in an input of {batch} rows x {width} tokens")
        self._spans, self._shape, self._totals = spans, (batch, width), totals
        self._held, self._settles = held or HeldSums(), held is None
        self._alike: list[States] = []
        self._last: tuple[object, ...] = ()
        self._layers = 0
        self._sent: Callable[[], Tensor] | None = None

    def add(self, layer: int, state: Tensor) -> None:
        """One hidden state, [batch, width, d]."""
        batch, width = self._shape
        # A PEFT prompt puts virtual tokens in front of the input's own.
        virtual = state.shape[1] - width
        if virtual < 0 or state.shape[0] != batch or layer != self._layers:
            raise AttributionError(
                f"hidden state {layer} has shape {list(state.shape)} for an input of {batch} rows x {width} tokens"
            )
        self._layers += 1
        x = state.detach()
        x = x[:, virtual:] if virtual else x
        kind = (x.device, x.dtype, x.shape)
        if kind != self._last:
            self._alike.append(states_like(x, self._spans))
            self._last = kind
        self._alike[-1].add(x)

    def close(self) -> None:
        """Ends the pass: adds its vectors to the sums and sends off what ``finish`` reads. Waits for nothing."""
        columns = zip(*(states.sums() for states in self._alike), strict=True)
        vectors, count, zero = (_joined(list(column)) for column in columns)
        self._alike.clear()
        self._sent = _send(torch.stack([vectors.square().sum(-1), count, zero]))
        self._goes = []
        for i, span in enumerate(self._spans):
            for sums, document in span.owners:
                self._goes.append((sums.across, document, len(self._spans) + i))
                if self._totals:
                    self._goes.append((sums.all_pairs, document, i))
        self._held.add(self._goes, vectors)

    def finish(self) -> Results:
        """One result a span. Waits for the device where that has not come to the end of the pass yet."""
        if self._sent is None:
            self.close()
        assert self._sent is not None
        square, count, zero = self._sent().unbind()
        d = closed_form(square, count).numpy()
        n, zeros = (few.long().numpy() for few in (count, zero))
        results = []
        for i, span in enumerate(self._spans):
            must = span.stop - span.start
            nonfinite = must - n[:, i] - zeros[:, i]
            results.append((span, Reduced(d[:, i], must, zeros[:, i], nonfinite, span.truncated)))
        self._held.add_counts(self._goes, n)
        if self._settles:
            self._held.settle()
        return results


def _joined(layers: list[Tensor]) -> Tensor:
    """One after another, on the device of the last. Narrower vectors get zeros, which change no cosine.

    Few models have hidden states of different widths (OPT-350m projects its last one).
    """
    if len(layers) == 1:
        return layers[0]
    widest = max(found.shape[-1] for found in layers)
    layers = [pad(found.to(layers[-1].device), (0, widest - found.shape[-1])) for found in layers]
    return torch.cat(layers)


def _send(few: Tensor) -> Callable[[], Tensor]:
    """Starts a copy to the CPU; what is returned waits for it."""
    if few.device.type != "cuda":
        return few.cpu
    here = torch.empty(few.shape, dtype=few.dtype, pin_memory=True)
    here.copy_(few, non_blocking=True)
    arrived = torch.cuda.current_stream(few.device).record_event()

    def wait() -> Tensor:
        arrived.synchronize()
        return here

    return wait


class Reductions:
    """Those of one request call. Each is read while the next pass runs; sums stay on the device until ``settle``."""

    def __init__(self, tap: LayerTap) -> None:
        self._tap, self._held = tap, HeldSums()
        self._unread: tuple[Reduction, Callable[[Results], None]] | None = None

    def run(
        self,
        forward: Callable[[], Any],
        spans: list[Span],
        shape: tuple[int, ...],
        totals: bool,
        then: Callable[[Results], None],
    ) -> Any:
        """Runs a forward pass (the first of a generation) and reduces its spans; ``then`` gets the results later."""
        if not spans:
            return forward()
        reduction = Reduction(spans, shape[0], shape[1], totals, self._held)
        with self._tap.listening(reduction.add):
            answer = forward()
        self.read()
        reduction.close()
        self._unread = reduction, then
        return answer

    def read(self) -> None:
        """Hands over the results that are left."""
        if self._unread is not None:
            (reduction, then), self._unread = self._unread, None
            then(reduction.finish())

    def settle(self) -> None:
        """Likewise, and adds the sums to those of their owners."""
        self.read()
        self._held.settle()
