"""Log-likelihoods of prompts, from what lm_eval has computed on its way: no softmax and no pass of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lm_eval_dispersion.capture._listen import logger
from lm_eval_dispersion.capture._spans import Results, Span

# Numbers that stay on the device until they are asked for.
_UNREAD = 4096


class Scores:
    """Those of the prompts of one request call.

    Of a prompt's tokens those count that are predicted: without the prefix, and without the first one where no prefix
    stands before it.
    """

    def __init__(self) -> None:
        self._unread: list[tuple[Span, Tensor, int]] = []
        self._sums: dict[int, tuple[float, int]] = {}
        """By the first request of a span: nats, and tokens."""
        self._waiting: Results = []

    def see(self, span: Span, logprobs: Tensor, tokens: Tensor) -> None:
        """A prompt's row of a batch. Does not wait for the device.

        Args:
            span: the prompt's positions in the row.
            logprobs: [width, vocabulary], of the token after each; virtual tokens (PEFT) come before the row's own.
            tokens: [width].
        """
        try:
            first, virtual = max(span.start, 1), len(logprobs) - len(tokens)
            mine = tokens[first : span.stop].to(logprobs.device)
            told = logprobs[virtual + first - 1 : virtual + span.stop - 1]
            if virtual < 0 or len(told) != len(mine):
                raise ValueError(f"log-probabilities of {len(logprobs)} positions for {len(tokens)} tokens")
            # An index beyond them would end the process of a GPU.
            known = mine < told.shape[1]
            found = told.gather(1, (mine * known).unsqueeze(1)).squeeze(1)
            total = torch.where(known, found, torch.nan).sum(dtype=torch.float32)
            self._unread.append((span, total, len(mine)))
            if len(self._unread) >= _UNREAD:
                self._read()
        except Exception:  # of a model class whose rows are others: not worth D
            logger.debug("no log-likelihood of a prompt", exc_info=True)

    def see_each(self, span: Span, logprobs: Sequence[Mapping[int, Any] | None], tokens: Sequence[int]) -> None:
        """A prompt whose log-probabilities are given token by token, as by vLLM: each of itself."""
        try:
            mine = range(max(span.start, 1), span.stop)
            found = [logprobs[i][tokens[i]] for i in mine]  # type: ignore[index]
            total = sum(float(getattr(value, "logprob", value)) for value in found)
            self._sums[span.requests[0]] = total, len(mine)
        except Exception:
            logger.debug("no log-likelihood of a prompt", exc_info=True)

    def joined(self, results: Results, ended: bool = False) -> Results:
        """Results with their log-likelihood; those that have none yet come with a later call, or at the end without."""
        if not (results or self._waiting):
            return []
        self._read()
        joined: Results = []
        waiting, self._waiting = [*self._waiting, *results], []
        for span, reduced in waiting:
            if (found := self._sums.pop(span.requests[0], None)) is not None:
                reduced = replace(reduced, loglikelihood=found[0], tokens=found[1])
            elif not ended:
                self._waiting.append((span, reduced))
                continue
            joined.append((span, reduced))
        return joined

    def _read(self) -> None:
        if self._unread:
            sums = torch.stack([total.to(self._unread[-1][1].device) for _, total, _ in self._unread]).tolist()
            for (span, _, tokens), total in zip(self._unread, sums, strict=True):
                self._sums[span.requests[0]] = total, tokens
            self._unread.clear()
