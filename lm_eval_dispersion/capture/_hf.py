"""Capture on lm_eval's ``HFLM`` and its subclasses, during their own request methods.

lm_eval sorts, groups, pads and truncates requests before a forward pass, and says nowhere which row of a
batch serves which request. So the methods it calls on itself on the way are listened to (on this one object,
for the length of one call): ``_loglikelihood_tokens`` and ``tok_batch_encode`` know requests and tokens, and
``_model_call`` and ``_model_generate`` see the rows. A row is matched with a request by its tokens. A request
that no row served is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.capture._describe import describe
from lm_eval_dispersion.capture._identity import fingerprint
from lm_eval_dispersion.capture._layers import LayerTap
from lm_eval_dispersion.capture._listen import logger, prefix_length, prefix_tokens, require_all
from lm_eval_dispersion.capture._protocol import OnPrompt, OnWindow, Owners
from lm_eval_dispersion.capture._reduce import Reductions
from lm_eval_dispersion.capture._rolling import Inputs, rolling
from lm_eval_dispersion.capture._scores import Scores
from lm_eval_dispersion.capture._spans import Awaited, Results, Span, before_cached, hand_over
from lm_eval_dispersion.capture._sums import Owner
from lm_eval_dispersion.seams.model_class import listening_to

if TYPE_CHECKING:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM


class HFCapture:
    """See ``Capture``; ``lm`` is the object ``lm_eval --model hf`` built."""

    def __init__(self, lm: HFLM) -> None:
        self._lm = lm
        self._tap = LayerTap(lm.model)
        self._prefixes = prefix_tokens(lm)
        self._said = False

    @property
    def limit(self) -> int:
        """See ``Capture``."""
        return int(self._lm.max_length)

    def layers(self, definition: Definition) -> list[int]:
        """See ``Capture``."""
        return [] if self._tap.depth is None else definition.shown(self._tap.depth)

    def signal_layers(self, definition: Definition) -> list[int]:
        """See ``Capture``; none where it is not known beforehand which is the last."""
        if self._tap.depth is not None:
            return definition.signalled(self._tap.depth)
        if definition.signals == "all" and not self._said:
            self._said = True
            name = type(self._lm.model).__name__
            logger.warning("no signals of Gram matrices: %s does not say how many layers it has", name)
        return []

    def fingerprint(self) -> str | None:
        """See ``Capture``."""
        return fingerprint(self._lm.model)

    def describe(self) -> dict[str, Any]:
        """See ``Capture``."""
        return describe(self._lm)

    def loglikelihood(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt, definition: Definition
    ) -> list[tuple[float, bool]]:
        """See ``Capture``; the prompt is the context, whatever continuation the row carries."""
        limit = self._lm.max_length

        def prompt(index: int, owner: Owner, context: list[int], continuation: list[int]) -> tuple[list[int], Span]:
            tokens = (context + continuation)[-(limit + 1) :]
            cut = len(context) + len(continuation) - len(tokens)
            stop = max(0, len(context) - cut)
            start = 0 if cut else prefix_length(self._prefixes, context)
            return tokens, Span(-1, start, stop, cut > 0, (owner,), (index,))

        def score(inner: Callable[..., Any], requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            prompts = [prompt(index, owner, *requests[index][1:]) for index, owner in owners.items()]
            passes.expect([(tokens, span) for tokens, span in prompts if span.stop > span.start])
            return inner(requests, *args, **kwargs)

        with (
            self._listened(definition, on_prompt, Scores()) as passes,
            listening_to(self._lm, score=score, row=passes.see_row),
        ):
            answers = list(self._lm.loglikelihood(requests))
            hand_over(passes.results(), on_prompt)
        return answers

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], owners: Owners, on_window: OnWindow, definition: Definition
    ) -> list[float]:
        """See ``Capture``; a window's vectors are at its scored positions, without the document's prefix."""
        shared = (self._lm, requests, owners, on_window)
        with self._listened(definition) as passes:
            return rolling(*shared, passes, definition, max_length=definition.window, padded=True, bars=True)

    def generate_until(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt, definition: Definition
    ) -> list[str]:
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
                if indices := awaited.pop(text, ()):
                    begin, length = int(mask[row].argmax()), int(mask[row].sum())
                    cut = uncut[row] > length
                    skip = leading[row]
                    if skip < length:
                        mine = tuple(owners[index] for index in indices)
                        spans.append(Span(row, begin + skip, begin + length, cut, mine, tuple(indices)))
            return passes.reduce(spans, ids.shape, lambda: inner(*args, **kwargs))

        listeners = {"encode_batch": encode, "generate": generate}
        with self._listened(definition, on_prompt) as passes, listening_to(self._lm, **listeners):
            answers = list(self._lm.generate_until(requests))
            hand_over(passes.results(), on_prompt)
        require_all(awaited)
        return answers

    def _leading(self, ids: torch.Tensor, mask: torch.Tensor) -> list[int]:
        """How many tokens of each row lead it that count nowhere."""
        rows = zip(ids, mask.bool(), strict=True)
        return [prefix_length(self._prefixes, tokens[own].tolist()) for tokens, own in rows]

    @contextmanager
    def _listened(
        self, definition: Definition, on_prompt: OnPrompt | None = None, scores: Scores | None = None
    ) -> Iterator[_Passes]:
        """Shows the forward passes of one request call; at its end all vectors are in their owners' sums.

        All vectors of a window are summed, and of a prompt, for which ``on_prompt`` is called, the last one alone. Of
        prompts that lm_eval has log-probabilities of, ``scores`` takes theirs.
        """
        reductions = Reductions(on_prompt is None, self.layers(definition), self.signal_layers(definition))
        passes = _Passes(self._tap, reductions, scores)
        with (
            self._tap.attached(),
            listening_to(self._lm, forward=passes.see, probe=passes.probe),
            before_cached(self._lm, passes.so_far, on_prompt),
        ):
            yield passes
        passes.settle()


class _Passes:
    """The forward passes of one request call, those of them reduced that have a row waited for; a ``Reducer``."""

    def __init__(self, tap: LayerTap, reductions: Reductions, scores: Scores | None) -> None:
        self._tap, self._reductions, self._scores = tap, reductions, scores
        self._awaited = Awaited()
        self._probing = False
        # Of the pass under way: its input, the spans of each row, and the rows that have been scored.
        self._inputs: torch.Tensor | None = None
        self._rows: dict[int, list[Span]] = {}
        self._scored = 0

    def expect(self, inputs: Inputs) -> None:
        """See ``Reducer``; lm_eval feeds all tokens but the last."""
        require_all(self._awaited.spans)
        for tokens, span in inputs:
            self._awaited.add(tokens[:-1], span)

    def see(self, inner: Callable[..., Any], inputs: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Listens to ``_model_call``."""
        spans: list[Span] = []
        self._inputs, self._rows, self._scored = inputs, {}, 0
        if self._awaited.spans and not self._probing:
            for row, tokens in enumerate(inputs.cpu().numpy()):
                self._rows[row] = [replace(span, row=row) for span in self._awaited.pop(tokens)]
                spans += self._rows[row]
        return self.reduce(spans, inputs.shape, lambda: inner(inputs, *args, **kwargs))

    def see_row(self, inner: Callable[..., Any], logprobs: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Listens to ``_select_cont_toks``, which is handed the log-probabilities of one row after another."""
        row, self._scored = self._scored, self._scored + 1
        for span in self._rows.pop(row, ()):
            if self._scores is not None and self._inputs is not None:
                self._scores.see(span, logprobs, self._inputs[row])
        return inner(logprobs, *args, **kwargs)

    def probe(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Listens to ``_detect_batch_size``, which tries batches of made-up tokens that are no request's rows."""
        self._probing = True
        try:
            return inner(*args, **kwargs)
        finally:
            self._probing = False

    def reduce(self, spans: list[Span], shape: Sequence[int], forward: Callable[[], Any]) -> Any:
        """Runs a forward pass, or the first of a generation, on an input [batch, width], and reduces its spans."""
        if not spans:
            return forward()
        with self._reductions.see(spans, shape[0], shape[1]) as add, self._tap.listening(add):
            return forward()

    def so_far(self) -> Results:
        """Of what has passed by since they were last asked for."""
        return self._joined(ended=False)

    def results(self) -> Results:
        """See ``Reducer``."""
        require_all(self._awaited.spans)
        return self._joined(ended=True)

    def _joined(self, ended: bool) -> Results:
        results = self._reductions.results()
        return results if self._scores is None else self._scores.joined(results, ended)

    def settle(self) -> None:
        """Adds all vectors to their owners' sums."""
        self._reductions.settle()
