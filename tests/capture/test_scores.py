"""Log-likelihoods of prompts, read off the log-probabilities of rows that pass by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_reduce_by_products import Watch

from lm_eval_dispersion.capture import Reduced, _scores
from lm_eval_dispersion.capture._scores import Scores
from lm_eval_dispersion.capture._spans import Results, Span

WIDTH, VOCABULARY = 9, 11


def result(request: int, start: int, stop: int) -> Results:
    none = np.zeros(1)
    return [(Span(0, start, stop, requests=(request,)), Reduced(none, stop - start, none, none))]


@pytest.fixture
def row() -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and tokens of a row."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(WIDTH, VOCABULARY, generator=generator)
    return logits.log_softmax(-1), torch.randint(VOCABULARY, (WIDTH,), generator=generator)


@pytest.mark.parametrize("virtual", [0, 3])
@pytest.mark.parametrize(("start", "stop"), [(0, 6), (1, 6), (2, 9)])
def test_a_token_is_told_by_the_position_before_it(
    start: int, stop: int, virtual: int, row: tuple[torch.Tensor, torch.Tensor]
) -> None:
    told, tokens = row
    scores = Scores()
    padded = torch.cat([torch.zeros(virtual, VOCABULARY), told])  # virtual tokens of a PEFT prompt
    scores.see(Span(0, start, stop, requests=(0,)), padded, tokens)
    ((_, found),) = scores.joined(result(0, start, stop))
    scored = range(max(1, start), stop)
    assert found.tokens == len(scored)
    assert found.loglikelihood == pytest.approx(sum(float(told[i - 1, tokens[i]]) for i in scored), rel=1e-6)


def test_rows_are_read_together_and_a_result_waits_for_its_own(
    row: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, (told, tokens) = Scores(), row
    with Watch() as watch:
        for request in (0, 1):
            scores.see(Span(request, 1, 5, requests=(request,)), told, tokens)
        assert not watch.seen  # nothing has waited for the device
        known = scores.joined([*result(2, 1, 5), *result(0, 1, 5)])
    assert watch.seen and [span.requests for span, _ in known] == [(0,)]
    # One that was seen later, and one that nobody ever scores.
    monkeypatch.setattr(_scores, "_UNREAD", 1)
    scores.see(Span(0, 1, 5, requests=(2,)), told, tokens)
    (later, one, none) = scores.joined([*result(1, 1, 5), *result(3, 1, 5)], ended=True)
    assert later[1].loglikelihood == one[1].loglikelihood == known[0][1].loglikelihood
    assert none[1].loglikelihood is None and scores.joined([], ended=True) == []


def test_what_cannot_be_told_is_no_number(row: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, (told, tokens) = Scores(), row
    tokens[3] = VOCABULARY + 5  # of the embeddings alone
    scores.see(Span(0, 1, 5, requests=(0,)), told, tokens)
    scores.see(Span(0, 1, 5, requests=(1,)), told[:4], tokens)  # rows of another shape
    scores.see_each(Span(0, 1, 5, requests=(2,)), [None, {}], [1, 2, 3, 4, 5])
    scores.see_each(Span(0, 1, 3, requests=(3,)), [None, {7: -0.5}, {8: -1.5, 9: -0.25}], [6, 7, 8])
    found = {
        span.requests[0]: reduced.loglikelihood
        for span, reduced in scores.joined([one for i in range(4) for one in result(i, 1, 5)], ended=True)
    }
    assert math.isnan(found.pop(0)) and found == {1: None, 2: None, 3: -2.0}
