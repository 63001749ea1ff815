"""Inputs that pass by are known by their tokens."""

from __future__ import annotations

import numpy as np

from lm_eval_dispersion.capture import Owner, Sums
from lm_eval_dispersion.capture._spans import Awaited, Span


def test_requests_of_the_same_positions_share_a_span_and_others_do_not() -> None:
    awaited, sums = Awaited(), Sums()
    for request, (start, stop, truncated) in enumerate([(1, 4, False), (1, 4, False), (0, 4, False), (1, 4, True)]):
        awaited.add([7, 8, 9, 5], Span(-1, start, stop, truncated, (Owner(sums, request),), (request,)))
    assert awaited.pop([7, 8, 9]) == []
    found = awaited.pop(np.array([7, 8, 9, 5]))
    assert [span.requests for span in found] == [(0, 1), (2,), (3,)]
    assert [[document for _, document in span.owners] for span in found] == [[0, 1], [2], [3]]
    assert awaited.pop([7, 8, 9, 5]) == [] and not awaited.spans


def test_a_row_filled_up_with_zeros_is_its_inputs_and_a_span_of_own_zeros_waits_for_a_longer_row() -> None:
    awaited = Awaited()
    short, long = Span(-1, 0, 3, requests=(0,)), Span(-1, 0, 5, requests=(1,))
    awaited.add([7, 8, 9], short)
    awaited.add([7, 8, 9, 0, 0], long)
    assert awaited.pop([7, 8, 9, 0]) == [short] and awaited.spans
    assert awaited.pop([7, 8, 9, 0, 0, 0]) == [long] and not awaited.spans
