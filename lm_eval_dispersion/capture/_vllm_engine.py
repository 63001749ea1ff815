"""A recording in the workers of vLLM's engine, from lm_eval's side: what they are told, and what they hand over."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from lm_eval_dispersion.capture._protocol import AttributionError, Reduced, Unsupported
from lm_eval_dispersion.capture._rolling import Inputs
from lm_eval_dispersion.capture._spans import Awaited, Results, Span
from lm_eval_dispersion.capture._sums import Sums

_OTHER_RUNNER = "if the run can be repeated, set VLLM_USE_V2_MODEL_RUNNER=0 to use vLLM's other model runner"


class EngineRecording:
    """What is recorded during one call of lm_eval's method, which may call the engine many times; a ``Reducer``."""

    def __init__(self, call: Callable[..., list[Any]]) -> None:
        self._call = call
        # The workers know spans by their number, and sums by their place here.
        self._expected: dict[int, Span] = {}
        self._told = 0
        self._sums: list[Sums] = []
        self._places: dict[int, int] = {}

    def expect(self, inputs: Inputs) -> None:
        """See ``Reducer``; the engine is fed all tokens."""
        awaited = Awaited()
        for tokens, span in inputs:
            awaited.add(tokens, span)
        if awaited.spans:
            self._call("dispersion_await", {name: list(map(self._tell, some)) for name, some in awaited.spans.items()})

    def so_far(self) -> Results:
        """Of what has passed by since they were last asked for."""
        results: Results = []
        for found in self._taken("dispersion_take"):
            span = self._expected.pop(int(found["span"]))
            counts = (span.stop - span.start, found["zero"], found["nonfinite"])
            reduced = Reduced(found["dispersion"], *counts, span.truncated, signals=found.get("signals"))
            results.append((span, reduced))
        return results

    def results(self) -> Results:
        """See ``Reducer``."""
        results = self.so_far()
        if self._expected:
            raise AttributionError(
                f"vLLM's worker did not show every position of {len(self._expected)} prompts: nothing is recorded "
                f"rather than guessed; {_OTHER_RUNNER}"
            )
        return results

    def collect(self) -> None:
        """Adds what the workers have summed to where it belongs; once, at the end."""
        for found in self._taken("dispersion_take_sums"):
            sums = self._sums[int(found["place"])]
            pairs = sums.all_pairs if found["all_pairs"] else sums.across
            pairs.add(int(found["group"]), found["total"], found["count"])
        if any(sums.vectors is not None for sums in self._sums):
            for found in self._taken("dispersion_take_vectors"):
                if (vectors := self._sums[int(found["place"])].vectors) is not None:
                    vectors.add(int(found["document"]), found["total"], int(found["count"]))

    def _tell(self, span: Span) -> tuple[int, int, int, list[tuple[int, int]]]:
        """A span as a worker is told of it: its number, its positions, and of each owner the sums' place."""
        number, self._told = self._told, self._told + 1
        self._expected[number] = span
        return number, span.start, span.stop, [(self._place(sums), document) for sums, document in span.owners]

    def _place(self, sums: Sums) -> int:
        place = self._places.setdefault(id(sums), len(self._sums))
        if place == len(self._sums):
            self._sums.append(sums)
        return place

    def _taken(self, method: str) -> Iterator[dict[str, Any]]:
        if problem := next(filter(None, self._call("dispersion_problem")), None):
            raise AttributionError(f"in vLLM's worker: {problem}")
        while any(pieces := self._call(method)):
            for piece in filter(None, pieces):
                with np.load(io.BytesIO(piece), allow_pickle=False) as file:
                    arrays = {key: file[key] for key in file.files}
                for row in zip(*arrays.values(), strict=True):
                    yield dict(zip(arrays, row, strict=True))


class Engine:
    """The workers of one ``vllm.LLM``, which its ``collective_rpc`` reaches."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.layers: list[int] = []
        """The hidden states that it shows, as of the last recording."""
        self.refused: str | None = None
        """Why it does not show all of them, where that was asked for."""

    @contextmanager
    def recording(
        self, layers: list[int] | None = None, signal_layers: Sequence[int] = (), totals: bool = False
    ) -> Iterator[EngineRecording]:
        """Records inside the block.

        Args:
            layers: which hidden states, of those that the engine shows; None for all of them.
            signal_layers: of which of them there are signals of a Gram matrix.
            totals: whether all vectors are summed, or the last of each prompt alone.

        Raises:
            Unsupported: where the workers cannot record.
            AttributionError: where one of them could not, once it had begun.
        """
        places = [] if layers is None else [self.layers.index(layer) for layer in layers]
        of_signals = [self.layers.index(layer) for layer in signal_layers]
        recording, told = EngineRecording(self._call), self._begin(places, of_signals, totals)
        try:
            self._hear(told)
            yield recording
            recording.collect()
        finally:
            self._call("dispersion_end")

    def fingerprint(self) -> str | None:
        """Of the weights in every worker; None where they are out of reach."""
        found = self._call("dispersion_fingerprint")
        return None if None in found else " ".join(found)

    def _begin(self, *settings: Any) -> list[dict[str, Any]]:
        try:
            return self._call("dispersion_begin", *settings)
        except Exception as error:
            # What a worker raises comes back as another kind of exception in each of vLLM's executors.
            if "dispersion_begin" not in str(error) and not isinstance(error, NotImplementedError):
                raise
            raise Unsupported(
                "vLLM's workers did not load lm-eval-dispersion: it has to be installed in their environment, and "
                "VLLM_PLUGINS, where that is set, has to name lm_eval_dispersion"
            ) from None

    def _hear(self, told: list[dict[str, Any]]) -> None:
        for one in told:
            if one["missing"]:
                raise Unsupported(
                    f"vLLM {version('vllm')} has no {one['missing'][0]} in its model runner, which dispersion "
                    "listens to; version 0.32 is known to work"
                )
        depth = told[0]["layers"]
        self.layers = list(range(depth + 1)) if all(one["all_layers"] for one in told) else [depth]
        self.refused = next(filter(None, (one["refused"] for one in told)), None)

    def _call(self, method: str, *args: Any) -> list[Any]:
        return list(self._llm.collective_rpc(method, args=args))
