"""Capture on lm_eval's ``HFLM`` and its subclasses, during their own request methods.

lm_eval sorts, groups, pads and truncates requests before a forward pass, and says nowhere which row of a
batch serves which request. So the methods it calls on itself on the way are listened to (on this one object,
for the length of one call): ``_loglikelihood_tokens`` and ``tok_batch_encode`` know requests and tokens, and
``_model_call`` and ``_model_generate`` see the rows. A row is matched with a request by its tokens. A request
that no row served is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_dispersion.capture._describe import describe
from lm_eval_dispersion.capture._layers import LayerTap
from lm_eval_dispersion.capture._listen import listening, prefix_length, prefix_tokens, require_all
from lm_eval_dispersion.capture._protocol import (
    WINDOW,
    OnPrompt,
    OnWindow,
    Owners,
    Reduced,
)
from lm_eval_dispersion.capture._reduce import Reductions, Results, Span
from lm_eval_dispersion.capture._rolling import Wanted, rolling
from lm_eval_dispersion.capture._sums import Owner

if TYPE_CHECKING:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

# What the rows of one `_loglikelihood_tokens` call are waited for: by their tokens, (request, span) pairs.
Awaited = dict[bytes, list[tuple[int, Span]]]


def _key(tokens: np.ndarray[Any, Any]) -> bytes:
    """Names an input by its tokens, without the zeros lm_eval pads rows with on the right.

    Inputs that differ in trailing zeros alone share a name. That is no guess: a causal model's states at
    the positions they share are the same.
    """
    nonzero = np.flatnonzero(tokens)
    end = nonzero[-1] + 1 if len(nonzero) else 0
    return blake2b(tokens[:end].astype(np.int64).tobytes(), digest_size=16).digest()


class HFCapture:
    """See ``Capture``; ``lm`` is the object ``lm_eval --model hf`` built."""

    def __init__(self, lm: HFLM) -> None:
        self._lm = lm
        self._tap = LayerTap(lm.model)
        self._prefixes = prefix_tokens(lm)

    @property
    def window(self) -> int:
        """See ``Capture``."""
        return min(WINDOW, int(self._lm.max_length))

    def describe(self) -> dict[str, Any]:
        """See ``Capture``."""
        return describe(self._lm)

    def loglikelihood(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt
    ) -> list[tuple[float, bool]]:
        """See ``Capture``; the prompt is the context, whatever continuation the row carries."""
        limit = self._lm.max_length

        def prompt_span(owner: Owner, context: list[int], continuation: list[int]) -> tuple[list[int], Span]:
            tokens = (context + continuation)[-(limit + 1) :][:-1]
            cut = len(context) + len(continuation) - 1 - len(tokens)
            stop = max(0, len(tokens) - (len(continuation) - 1))
            start = 0 if cut else prefix_length(self._prefixes, context)
            return tokens, Span(-1, min(start, stop), stop, cut > 0, (owner,))

        def score(inner: Callable[..., Any], requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            awaited: Awaited = {}
            for index, owner in owners.items():
                tokens, span = prompt_span(owner, *requests[index][1:])
                if span.stop > span.start:
                    awaited.setdefault(_key(np.asarray(tokens)), []).append((index, span))
            with self._rows_matched(awaited, reductions, totals=False, on_reduced=on_prompt):
                return inner(requests, *args, **kwargs)

        with self._reducing() as reductions, listening(self._lm, _loglikelihood_tokens=score):
            return list(self._lm.loglikelihood(requests))

    def loglikelihood_rolling(self, requests: Sequence[Instance], owners: Owners, on_window: OnWindow) -> list[float]:
        """See ``Capture``; a window's vectors are at its scored positions, without the document's prefix."""

        def reducing(wanted: list[Wanted], on_reduced: Callable[[int, Reduced], None]) -> AbstractContextManager[None]:
            awaited: Awaited = {}
            for window in wanted:
                span = Span(-1, window.start, window.stop, owners=window.owners)
                awaited.setdefault(_key(np.asarray(window.tokens[:-1])), []).append((window.index, span))
            return self._rows_matched(awaited, reductions, totals=True, on_reduced=on_reduced)

        window, shared = self.window, (owners, on_window, reducing, self._prefixes)
        with self._reducing() as reductions:
            return rolling(self._lm, requests, *shared, window=window, max_length=window, padded=True, bars=True)

    def generate_until(self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt) -> list[str]:
        """See ``Capture``; requests of one context share its reduction."""
        awaited: dict[str, list[int]] = {}
        for index in owners:
            awaited.setdefault(requests[index].args[0], []).append(index)
        texts: list[str] = []
        uncut: list[int] = []
        leading: list[int] = []

        def encode(inner: Callable[..., Any], strings: list[str], *args: Any, **kwargs: Any) -> Any:
            nonlocal texts, uncut, leading
            ids, mask = inner(strings, *args, **kwargs)
            texts, uncut, leading = list(strings), mask.sum(1).tolist(), self._leading(ids, mask)
            if kwargs.get("truncation") or ids.shape[1] == kwargs.get("left_truncate_len"):
                # Only here can a prompt have been cut; what it was is one more tokenization away.
                cut_by_tokenizer = kwargs | {"left_truncate_len": None}
                whole = inner(strings, *args, **cut_by_tokenizer | {"truncation": False})
                before = inner(strings, *args, **cut_by_tokenizer) if kwargs.get("truncation") else whole
                # lm_eval cuts at the left, the prefix with it; a tokenizer keeps the one that it adds.
                lost = (before[1].sum(1) > mask.sum(1)).tolist()
                rows = zip(lost, leading, self._leading(*whole), strict=True)
                leading = [0 if gone else min(both) for gone, *both in rows]
                uncut = whole[1].sum(1).tolist()
            return ids, mask

        def generate(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            ids, mask = kwargs["context"].cpu().numpy(), kwargs["attention_mask"].cpu().numpy()
            spans: list[Span] = []
            for row, text in enumerate(texts):
                if text in awaited and text not in (texts[s.row] for s in spans):
                    begin, length = int(mask[row].argmax()), int(mask[row].sum())
                    cut = uncut[row] > length
                    skip = leading[row]
                    if skip < length:
                        mine = tuple(owners[index] for index in awaited[text])
                        spans.append(Span(row, begin + skip, begin + length, cut, mine))
                    else:
                        awaited.pop(text)
            indices = [awaited.pop(texts[span.row]) for span in spans]

            def hand_over(reduced: Results) -> None:
                for mine, (_, result) in zip(indices, reduced, strict=True):
                    for index in mine:
                        on_prompt(index, result)

            return reductions.run(lambda: inner(*args, **kwargs), spans, ids.shape, False, hand_over)

        listeners = {"tok_batch_encode": encode, "_model_generate": generate}
        with self._reducing() as reductions, listening(self._lm, **listeners):
            answers = list(self._lm.generate_until(requests))
        require_all(awaited)
        return answers

    def _leading(self, ids: torch.Tensor, mask: torch.Tensor) -> list[int]:
        """How many tokens of each row lead it that count nowhere."""
        rows = zip(ids, mask.bool(), strict=True)
        return [prefix_length(self._prefixes, tokens[own].tolist()) for tokens, own in rows]

    @contextmanager
    def _reducing(self) -> Iterator[Reductions]:
        """What reduces the passes of one request call; at its end all vectors are in their owners' sums."""
        reductions = Reductions(self._tap)
        with self._tap.attached():
            yield reductions
        reductions.settle()

    @contextmanager
    def _rows_matched(
        self, awaited: Awaited, reductions: Reductions, totals: bool, on_reduced: Callable[[int, Reduced], None]
    ) -> Iterator[None]:
        """Reduces awaited rows of the ``_model_call``s made inside; each of them must be met."""
        probing = False

        def call(inner: Callable[..., Any], inputs: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if probing:
                return inner(inputs, *args, **kwargs)
            spans: list[Span] = []
            owners: list[int] = []
            for row, tokens in enumerate(inputs.cpu().numpy()):
                key = _key(tokens)
                for index, span in awaited.pop(key, ()):
                    if span.stop <= len(tokens):
                        spans.append(replace(span, row=row))
                        owners.append(index)
                    else:  # this one's own trailing zeros do not fit: a longer row is still to come
                        awaited.setdefault(key, []).append((index, span))

            def hand_over(reduced: Results) -> None:
                for index, (_, result) in zip(owners, reduced, strict=True):
                    on_reduced(index, result)

            shape = tuple(inputs.shape)
            return reductions.run(lambda: inner(inputs, *args, **kwargs), spans, shape, totals, hand_over)

        def probe(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            # `batch_size=auto` tries batches of made-up tokens, which are no request's rows.
            nonlocal probing
            probing = True
            try:
                return inner(*args, **kwargs)
            finally:
                probing = False

        with listening(self._lm, _model_call=call, _detect_batch_size=probe):
            yield
        reductions.read()
        require_all(awaited)
