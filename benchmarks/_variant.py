"""``python -m benchmarks._variant MODULE:NAME WINDOWS``: a variant in a process of its own (see ``_setup``)."""

from __future__ import annotations

import sys
from pkgutil import resolve_name

from benchmarks import _workload
from benchmarks._sample import measure, serve

if __name__ == "__main__":
    variant, texts = resolve_name(sys.argv[1]), _workload.windows(int(sys.argv[2]))
    lm = _workload.load()
    measure(variant(lm, texts[:1]))  # what a first forward pass sets up once
    serve(variant(lm, texts))
