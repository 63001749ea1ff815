"""``python -m benchmarks._variant NAME WINDOWS``: one variant in a process of its own (see ``_measure.Worker``)."""

from __future__ import annotations

import sys

from benchmarks import _workload
from benchmarks._sample import measure, serve
from benchmarks.hidden_states import output_hidden_states
from benchmarks.procedure import released, two_passes
from benchmarks.recording import recording, stock

VARIANTS = {f.__name__: f for f in (stock, recording, output_hidden_states, two_passes, released)}

if __name__ == "__main__":
    variant, texts = VARIANTS[sys.argv[1]], _workload.windows(int(sys.argv[2]))
    lm = _workload.load()
    measure(variant(lm, texts[:1]))  # what a first forward pass sets up once
    serve(variant(lm, texts))
