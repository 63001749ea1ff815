"""Hidden states of forward passes, reduced to what ``Reduced`` holds and to sums of their owners; of every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import pad

from lm_eval_dispersion.capture._device import sent
from lm_eval_dispersion.capture._protocol import AttributionError, Reduced
from lm_eval_dispersion.capture._singles import HeldVectors
from lm_eval_dispersion.capture._spans import Progress, Results, Span
from lm_eval_dispersion.capture._spectra import Floats, Spectra
from lm_eval_dispersion.capture._states import States, Summed
from lm_eval_dispersion.capture._sums import HeldSums
from lm_eval_dispersion.geometry import closed_form

# Numbers that stay on the device until they are asked for, three a span and layer.
_UNREAD = 2**22


class Reductions:
    """Those of one request call. Nothing waits for the device until ``results`` and ``settle``."""

    def __init__(self, totals: bool, layers: Sequence[int] = (), signal_layers: Sequence[int] = ()) -> None:
        """Of some layers.

        Args:
            totals: whether all vectors are summed for their owners, or the last one of each span alone.
            layers: which of the hidden states that a pass shows are summed; empty for all of them.
            signal_layers: of which there are signals of a Gram matrix.
        """
        self.totals, self._layers, self._signal_layers = totals, layers, signal_layers
        self._held, self._singles = HeldSums(), HeldVectors()
        self._unread: list[tuple[list[Span], Tensor, list[Floats | None]]] = []
        self._numbers = 0
        self._results: Results = []

    @contextmanager
    def see(self, spans: Sequence[Span], batch: int, width: int) -> Iterator[Callable[[int, Tensor], None]]:
        """Reduces spans of one forward pass, whose input is [batch, width].

        What is yielded takes its hidden states, (l, h[l]) for l = 0, 1, ..., each [batch, width, d].

        Raises:
            AttributionError: where a span has positions that the input has not, or a state another shape.
        """
        one_pass = _Pass(spans, batch, width, self._layers, self._signal_layers)
        yield one_pass.add
        whole, every, last, signals = one_pass.close()
        owned = [(*owner, i) for i, span in enumerate(whole) for owner in span.owners]
        self._held.add([(sums.across, document, i) for sums, document, i in owned], last.total, last.counted)
        if self.totals:
            self._held.add([(sums.all_pairs, document, i) for sums, document, i in owned], every.total, every.counted)
        keeps = [(sums.vectors, document, i) for sums, document, i in owned if sums.vectors is not None]
        self._singles.add(keeps, last.total[-1])
        few = torch.stack([every.total.square().sum(-1), every.counted, every.zero])
        self._unread.append((whole, few, signals))
        self._numbers += few.numel()
        if self._numbers > _UNREAD:
            self._read()

    def results(self) -> Results:
        """One a span, of all passes since they were last asked for."""
        self._read()
        found, self._results = self._results, []
        return found

    def settle(self) -> None:
        """Adds the sums to those of their owners, and single vectors to theirs."""
        self._held.settle()
        self._singles.settle()

    def _read(self) -> None:
        if not self._unread:
            return
        spans = [span for some, *_ in self._unread for span in some]
        signals = [found for *_, some in self._unread for found in some]
        square, count, zero = torch.cat([few for _, few, _ in self._unread], -1).cpu().unbind()
        self._unread, self._numbers = [], 0
        d = closed_form(square, count).numpy()
        n, zeros = (few.long().numpy() for few in (count, zero))
        for i, span in enumerate(spans):
            must = span.stop - span.start
            nonfinite = must - n[:, i] - zeros[:, i]
            reduced = Reduced(d[:, i], must, zeros[:, i], nonfinite, span.truncated, signals=signals[i])
            self._results.append((span, reduced))


class _Pass:
    """Takes h[0], h[1], ... of one forward pass; of a state no more is kept than sums over positions."""

    def __init__(
        self, spans: Sequence[Span], batch: int, width: int, layers: Sequence[int], signal_layers: Sequence[int]
    ) -> None:
        for span in spans:
            if not (0 <= span.row < batch and 0 <= span.start < span.stop <= width):
                raise AttributionError(f"{span} does not lie in an input of {batch} rows x {width} tokens")
        self._spans, self._shape = spans, (batch, width)
        self._alike: list[States] = []
        self._last: tuple[object, ...] = ()
        self._layers, self._seen = layers, 0
        self._spectra = Spectra(spans, signal_layers) if signal_layers else None

    def add(self, layer: int, state: Tensor) -> None:
        """One hidden state, [batch, width, d]."""
        batch, width = self._shape
        # A PEFT prompt puts virtual tokens in front of the input's own.
        virtual = state.shape[1] - width
        if virtual < 0 or state.shape[0] != batch or layer != self._seen:
            raise AttributionError(
                f"hidden state {layer} has shape {list(state.shape)} for an input of {batch} rows x {width} tokens"
            )
        self._seen += 1
        x = state.detach()
        x = x[:, virtual:] if virtual else x
        if self._spectra is not None:
            self._spectra.add(layer, x)
        if self._layers and layer not in self._layers:
            return
        kind = (x.device, x.dtype, x.shape)
        if kind != self._last:
            self._alike.append(States(self._spans, x))
            self._last = kind
        self._alike[-1].add(x)

    def close(self) -> tuple[list[Span], Summed, Summed, list[Floats | None]]:
        """The spans that have now come by whole; their sums over all positions and over the last one alone; signals."""
        every, last = (
            Summed(*(_joined(list(column)) for column in zip(*some, strict=True)))
            for some in zip(*(states.sums() for states in self._alike), strict=True)
        )
        self._alike.clear()
        ended = [i for i, span in enumerate(self._spans) if span.of is None or _ends(span.of, every, i)]
        whole = [span.of.span if span.of is not None else span for span in (self._spans[i] for i in ended)]
        if len(ended) < len(self._spans):
            at = sent(torch.tensor(ended, dtype=torch.int64), every.total.device)
            every, last = (Summed(*(found.index_select(1, at) for found in sums)) for sums in (every, last))
        found = None if self._spectra is None else self._spectra.found()
        return whole, every, last, [None if found is None else found[i] for i in ended]


def _ends(progress: Progress, every: Summed, i: int) -> bool:
    """Whether a span has come by whole; adds to its sums those of earlier passes, or keeps them for a later one."""
    mine = [found[:, i] for found in every]
    for found, earlier in zip(mine, progress.sums or (), strict=False):
        found += earlier
    progress.sums = None if progress.ended else tuple(found.clone() for found in mine)
    return progress.ended


def _joined(layers: list[Tensor]) -> Tensor:
    """One after another, on the device of the last. Narrower vectors get zeros, which change no cosine.

    Few models have hidden states of different widths (OPT-350m projects its last one).
    """
    if len(layers) == 1:
        return layers[0]
    widest = max(found.shape[-1] for found in layers)
    layers = [pad(found.to(layers[-1].device), (0, widest - found.shape[-1])) for found in layers]
    return torch.cat(layers)
